"""Taking connections from a listening socket, by whichever thread polls it.

Runs on the acceptor's thread or, where a loop accepts for itself, on the loop's; the listener belongs to that thread.
Never blocks.
"""

import errno
import logging
import socket
import time

logger = logging.getLogger("threadserve.error")

BATCH = 64
PAUSE = 0.25
EPISODE_GAP = 10.0

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
            logger.error("Cannot accept connections: %s. Trying again every %s seconds.", error, PAUSE)
        self._last = now


def accept_batch(listener: socket.socket, batch: int = BATCH) -> list[socket.socket]:
    """Returns the connections that wait now, at most `batch` of them, non-blocking and without Nagle's delay.

    Raises `Exhausted` when there is none left to accept with; what was accepted before that is returned first.
    """
    accepted: list[socket.socket] = []
    for _ in range(batch):
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
    """Closes a listener, and returns the connections that were waiting in it, which closing would have reset."""
    waiting: list[socket.socket] = []
    try:
        while batch := accept_batch(listener):
            waiting += batch
    except Exhausted as error:
        logger.warning("Connections that waited to be accepted are lost: %s", error)
    listener.close()
    return waiting
