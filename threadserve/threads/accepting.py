"""Taking connections from a listening socket, by whichever thread polls it.

Runs on the acceptor's thread or, where a loop accepts for itself, on the loop's; the listener belongs to that thread.
Never blocks.
"""

import errno
import logging
import socket
import struct
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any, cast

from threadserve.listening.accepted import AcceptedSocket
from threadserve.listening.tcp import is_shared, is_tcp
from threadserve.listening.unix import UnixListener
from threadserve.logging.wording import format_count

logger = logging.getLogger("threadserve.error")

BATCH = 64
# Of a queue that other processes accept from too, a loop or an acceptor leaves them the rest.
SHARED_BATCH = 1
PAUSE = 0.25
# How long, in seconds, a client may take to complete the handshake that it has begun when the listener is to be closed.
HANDSHAKE = 0.05
EPISODE_GAP = 10.0

SO_ATTACH_FILTER = 26
# Classic BPF: load the byte with the flags, test SYN, then drop the segment or keep the whole of it.
DROP_SYN = array(
    "B",
    b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
    ),
)

# A socket that takes what is for other machines' addresses.
IP_TRANSPARENT = 19
EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Exhausted(Exception):
    """The process or the system has no descriptor left for another connection."""


class ExhaustionLog:
    """Reports once that no connections can be accepted, however often that is tried in vain.

    It is reported again when it happens after `EPISODE_GAP` seconds without it. Belongs to the thread that accepts; any
    other may read `count`, how often it has failed.
    """

    def __init__(self) -> None:
        self.count = 0
        self._last = -EPISODE_GAP

    def report(self, error: Exhausted) -> None:
        """Accepting has failed."""
        self.count += 1
        now = time.monotonic()
        if now - self._last >= EPISODE_GAP:
            logger.error("Cannot accept connections: %s. Trying again every %s.", error, format_count(PAUSE, "second"))
        self._last = now


class AcceptQueue:
    """The connections that wait in a listener. Belongs to the thread that accepts, as the listener does."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        # What `accept` is made of, without the socket that it makes.
        self._accept: Callable[[], tuple[int, object]] = cast("Any", listener)._accept
        self._kind = int(listener.family), int(listener.type), listener.proto
        self._batch = SHARED_BATCH if is_shared(listener) else BATCH
        self._sockname = address_of_all(listener)

    def take_batch(self) -> list[AcceptedSocket]:
        """Returns the connections that wait now, a batch at most.

        Raises `Exhausted` when there is none left to accept with; what was accepted before that is returned first.
        """
        accepted: list[AcceptedSocket] = []
        now = time.monotonic()
        for _ in range(self._batch):
            try:
                descriptor, peername = self._accept()
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno in EXHAUSTED:
                    if accepted:
                        break
                    raise Exhausted(error.strerror) from error
                # The client gave up while it waited: the next one may still be there.
                continue
            connection = AcceptedSocket(*self._kind, descriptor)
            connection.accepted_at = now
            connection.peername = peername
            connection.sockname = self._sockname
            accepted.append(connection)
        return accepted

    def drain_and_close(self) -> list[AcceptedSocket]:
        """Closes the listener, and returns the connections that were waiting in it, which closing would have reset.

        What waits in a shared one is for the other processes.
        """
        waiting: list[AcceptedSocket] = []
        try:
            while not is_shared(self.listener) and (batch := self.take_batch()):
                waiting += batch
        except Exhausted as error:
            logger.warning("Connections that waited to be accepted are lost: %s", error)
        self.listener.close()
        return waiting


def address_of_all(listener: socket.socket) -> object:
    """The server's address of every connection that a listener accepts, or None where each has its own."""
    name = listener.getsockname()
    if not is_tcp(listener):
        return name
    is_transparent = sys.platform.startswith("linux") and listener.getsockopt(socket.IPPROTO_IP, IP_TRANSPARENT)
    return None if name[0] in EVERY_ADDRESS or is_transparent else name


def ignore_newcomers(listener: socket.socket) -> None:
    """Has the system drop attempts to connect, which clients repeat until the listener is closed and refuses them.

    Without this a connection that came between the last `accept` and the closing would be reset. It is Linux's socket
    filter, a program that looks at each segment's TCP header (RFC 9293 section 3.1); elsewhere the gap stays. It is the
    queue's, so that with a shared listener, which will not refuse anybody, nothing is dropped.
    """
    if isinstance(listener, UnixListener):
        listener.remove_file()
    if not sys.platform.startswith("linux") or is_shared(listener) or not is_tcp(listener):
        return
    address, _ = DROP_SYN.buffer_info()
    try:
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(DROP_SYN) // 8, address))
    except OSError as error:
        logger.debug("No filter on a listener that is closed: %s", error)
