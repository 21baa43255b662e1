"""Idle connections that no loop has: the acceptor watches them until their next request comes, or their time is over.

Runs on the acceptor's thread, which owns the connections; `ReturnBox` alone is for any thread. It never reads from a
connection. Who does not own one does not read it, so that no byte can be lost.
"""

import select
import sys
import threading
import time
from collections.abc import Callable
from math import ceil, inf

from threadserve.errors import MailboxClosed
from threadserve.listening.accepted import ReturnedSocket

# Linux's alone: elsewhere idle connections stay with their loops.
CAN_WATCH = sys.platform.startswith("linux")
# How many connections are taken out at a time.
BATCH = 64
# How exactly deadlines are kept, in seconds.
TICK = 0.5
# A connection whose next request comes within so many seconds of its return is busy: the way here is not worth it.
BUSY = 0.005


class ReturnBox:
    """Connections that loops have given back, on their way to the acceptor."""

    def __init__(self, wake_threadsafe: Callable[[], None]) -> None:
        self._wake_threadsafe = wake_threadsafe
        self._return_lock = threading.Lock()
        self._returned: list[ReturnedSocket] = []
        self._is_closed = False

    def give_threadsafe(self, connection: ReturnedSocket) -> None:
        """Takes a connection. Raises `MailboxClosed` when the acceptor watches none any more."""
        with self._return_lock:
            if self._is_closed:
                raise MailboxClosed
            is_first = not self._returned
            self._returned.append(connection)
        if is_first:
            self._wake_threadsafe()

    def take_all(self) -> list[ReturnedSocket]:
        """Returns what has come since the last time."""
        with self._return_lock:
            returned, self._returned = self._returned, []
        return returned

    def close(self) -> None:
        """Takes nothing more; what has come before is still there."""
        with self._return_lock:
            self._is_closed = True


class IdleConnections:
    """The connections that are idle, and in no loop.

    They have `timeout_keep_alive` seconds between two requests, `timeout_request_header` for the first, and for so
    many, `grace`, after the last the next may be under way.
    """

    def __init__(self, timeout_keep_alive: float, timeout_request_header: float, grace: float) -> None:
        self._timeouts = {True: timeout_keep_alive, False: timeout_request_header}
        self._grace = grace
        self._poll = select.epoll()
        self._connections: dict[int, ReturnedSocket] = {}
        # By the tick at which they are closed.
        self._due: dict[int, set[ReturnedSocket]] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def fileno(self) -> int:
        """Can be read when one of the connections can."""
        return self._poll.fileno()

    def add(self, connection: ReturnedSocket) -> None:
        """Watches a connection."""
        descriptor = connection.fileno()
        self._poll.register(descriptor, select.EPOLLIN)
        self._connections[descriptor] = connection
        self._due.setdefault(tick_of(connection.deadline), set()).add(connection)

    def take_ready(self) -> list[ReturnedSocket]:
        """Returns connections on which something has arrived, or their client's end: a batch at most."""
        events = self._poll.poll(0, BATCH)
        ready = [self._connections[descriptor] for descriptor, _ in events]
        busy_since = time.monotonic() - BUSY
        for connection in ready:
            connection.is_busy = connection.since is not None and connection.since > busy_since
            self._forget(connection)
        return ready

    def take_recent(self) -> list[ReturnedSocket]:
        """Returns those whose next request may be under way, by their deadline: it counts from the last one."""
        since = time.monotonic() - self._grace
        recent = [
            each for each in self._connections.values() if each.deadline - self._timeouts[each.speaks_http1] > since
        ]
        for connection in recent:
            self._forget(connection)
        return recent

    def next_tick(self) -> float:
        """When, in the seconds of `time.monotonic`, the first connection's time is over."""
        return min(self._due, default=inf) * TICK

    def close_overdue(self, now: float) -> None:
        """Closes those whose time is over."""
        for tick in [tick for tick in self._due if tick * TICK <= now]:
            for connection in list(self._due[tick]):
                self._forget(connection)
                connection.close()

    def close(self) -> None:
        """Closes all of them."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._due.clear()
        self._poll.close()

    def _forget(self, connection: ReturnedSocket) -> None:
        descriptor = connection.fileno()
        self._poll.unregister(descriptor)
        del self._connections[descriptor]
        tick = tick_of(connection.deadline)
        due = self._due[tick]
        due.discard(connection)
        if not due:
            del self._due[tick]


def tick_of(deadline: float) -> int:
    """The first tick that is not before a deadline."""
    return ceil(deadline / TICK)
