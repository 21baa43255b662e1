"""Accepting connections from a listening socket.

Runs on the acceptor's thread or, where a loop accepts for itself, on the loop's; the listener belongs to that thread.
It never blocks.
"""

import errno
import logging
import socket
import struct
import sys
import time
from array import array
from collections.abc import Callable

from threadserve.listening.accepted import AcceptedSocket
from threadserve.listening.tcp import is_shared, is_tcp
from threadserve.listening.unix import UnixListener
from threadserve.logging.wording import format_count

logger = logging.getLogger("threadserve.error")

ACCEPT_BATCH = 64
# From a listener that other processes accept from too, a loop or an acceptor takes one connection at a time.
SHARED_ACCEPT_BATCH = 1
EXHAUSTION_PAUSE_SECONDS = 0.25
# The time that clients have to complete TCP handshakes that began before the listener is to be closed.
HANDSHAKE_SECONDS = 0.05
EPISODE_GAP_SECONDS = 10.0

SO_ATTACH_FILTER = 26
# Classic BPF: load the byte with the flags, test SYN, then drop the segment or keep the whole of it.
DROP_SYN_FILTER = array(
    "B",
    b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
    ),
)

# The option of sockets that accept connections to other machines' addresses.
IP_TRANSPARENT = 19
WILDCARD_ADDRESSES = frozenset({"0.0.0.0", "::"})

EXHAUSTION_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class DescriptorsExhausted(Exception):
    """The process or the system has no file descriptor left for another connection."""


class ExhaustionLog:
    """Logs once that connections cannot be accepted, and again if that happens after a while without it.

    Belongs to the thread that accepts. Any thread may read `count`, the number of failed attempts to accept.
    """

    def __init__(self) -> None:
        self.count = 0
        self._last = -EPISODE_GAP_SECONDS

    def report(self, error: DescriptorsExhausted) -> None:
        """Count a failed attempt to accept, and log it unless that was done lately."""
        self.count += 1
        now = time.monotonic()
        if now - self._last >= EPISODE_GAP_SECONDS:
            logger.error(
                "Cannot accept connections: %s. Trying again every %s.",
                error,
                format_count(EXHAUSTION_PAUSE_SECONDS, "second"),
            )
        self._last = now


class AcceptQueue:
    """The connections that wait in a listener's backlog. Belongs to the thread that accepts, as the listener does."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        # `accept` without the socket object that it makes: `AcceptedSocket` is made here.
        self._accept: Callable[[], tuple[int, object]] = listener._accept  # type: ignore[attr-defined]
        self._kind = int(listener.family), int(listener.type), listener.proto
        self._batch = SHARED_ACCEPT_BATCH if is_shared(listener) else ACCEPT_BATCH
        self._sockname = find_common_sockname(listener)

    def take_batch(self) -> list[AcceptedSocket]:
        """Accept the connections that wait now, `ACCEPT_BATCH` at most.

        Raises `DescriptorsExhausted` if no descriptor is left for the first of them; what was accepted before that is
        returned, and the next call raises.
        """
        accepted: list[AcceptedSocket] = []
        now = time.monotonic()
        for _ in range(self._batch):
            try:
                descriptor, peername = self._accept()
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno in EXHAUSTION_ERRNOS:
                    if accepted:
                        break
                    raise DescriptorsExhausted(error.strerror) from error
                # This client has left; the next one may still be there.
                continue
            connection = AcceptedSocket(*self._kind, descriptor)
            connection.accepted_at = now
            connection.peername = peername
            connection.sockname = self._sockname
            accepted.append(connection)
        return accepted

    def drain_and_close(self) -> list[AcceptedSocket]:
        """Close the listener; return the connections that waited in it, which closing would have reset.

        Those that wait in a shared listener are left to the other processes.
        """
        waiting: list[AcceptedSocket] = []
        try:
            while not is_shared(self.listener) and (batch := self.take_batch()):
                waiting += batch
        except DescriptorsExhausted as error:
            logger.warning("Connections that waited to be accepted are lost: %s", error)
        self.listener.close()
        return waiting


def find_common_sockname(listener: socket.socket) -> object:
    """Return the local address that all connections of a listener have, or None if each has its own."""
    name = listener.getsockname()
    if not is_tcp(listener):
        return name
    is_transparent = sys.platform.startswith("linux") and listener.getsockopt(socket.IPPROTO_IP, IP_TRANSPARENT)
    return None if name[0] in WILDCARD_ADDRESSES or is_transparent else name


def drop_new_connections(listener: socket.socket) -> None:
    """Drop attempts to connect, which clients repeat until the listener is closed and refuses them.

    Without this a connection that comes between the last `accept` and the closing would be reset. It takes Linux's
    socket filter, a program that looks at each segment's TCP header (RFC 9293 section 3.1); elsewhere that gap stays. A
    shared listener will refuse nobody, so nothing is dropped there.
    """
    if isinstance(listener, UnixListener):
        listener.remove_file()
    if not sys.platform.startswith("linux") or is_shared(listener) or not is_tcp(listener):
        return
    address, _ = DROP_SYN_FILTER.buffer_info()
    try:
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(DROP_SYN_FILTER) // 8, address))
    except OSError as error:
        logger.debug("No filter on a listener that is closed: %s", error)
