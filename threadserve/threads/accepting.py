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

from threadserve.listening.tcp import has_port, is_shared
from threadserve.listening.unix import UnixListener
from threadserve.logging.wording import counted

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

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Exhausted(Exception):
    """The process or the system has no descriptor left for another connection."""


class ExhaustionLog:
    """Reports once that no connections can be accepted, however often that is tried in vain.

    It is reported again when it happens after `EPISODE_GAP` seconds without it. Belongs to the thread that accepts.
    """

    def __init__(self) -> None:
        self._last = -EPISODE_GAP

    def report(self, error: Exhausted) -> None:
        """Accepting has failed."""
        now = time.monotonic()
        if now - self._last >= EPISODE_GAP:
            logger.error("Cannot accept connections: %s. Trying again every %s.", error, counted(PAUSE, "second"))
        self._last = now


def accept_batch(listener: socket.socket) -> list[socket.socket]:
    """Returns the connections that wait now, a batch at most, non-blocking and without Nagle's delay.

    Raises `Exhausted` when there is none left to accept with; what was accepted before that is returned first.
    """
    accepted: list[socket.socket] = []
    for _ in range(SHARED_BATCH if is_shared(listener) else BATCH):
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, InterruptedError):
            break
        except OSError as error:
            if error.errno in EXHAUSTED:
                if accepted:
                    break
                raise Exhausted(error.strerror) from error
            # The client gave up while it waited: the next one may still be there.
            continue
        connection.setblocking(False)
        accepted.append(connection)
    return accepted


def drain_and_close(listener: socket.socket) -> list[socket.socket]:
    """Closes a listener, and returns the connections that were waiting in it, which closing would have reset.

    What waits in a shared one is for the other processes.
    """
    waiting: list[socket.socket] = []
    try:
        while not is_shared(listener) and (batch := accept_batch(listener)):
            waiting += batch
    except Exhausted as error:
        logger.warning("Connections that waited to be accepted are lost: %s", error)
    listener.close()
    return waiting


def ignore_newcomers(listener: socket.socket) -> None:
    """Has the system drop attempts to connect, which clients repeat until the listener is closed and refuses them.

    Without this a connection that came between the last `accept` and the closing would be reset. It is Linux's socket
    filter, a program that looks at each segment's TCP header (RFC 9293 section 3.1); elsewhere the gap stays. It is the
    queue's, so that with a shared listener, which will not refuse anybody, nothing is dropped.
    """
    if isinstance(listener, UnixListener):
        listener.remove_file()
    if not sys.platform.startswith("linux") or is_shared(listener) or not has_port(listener):
        return
    address, _ = DROP_SYN.buffer_info()
    try:
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(DROP_SYN) // 8, address))
    except OSError as error:
        logger.debug("No filter on a listener that is closed: %s", error)
