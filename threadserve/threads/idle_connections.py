"""Idle connections that belong to no loop: the acceptor watches them until their next request or their timeout.

Belongs to the acceptor's thread, which owns the connections; only `ReturnQueue` is for any thread. It never reads from
a connection: only the owner reads, so that no byte is lost.
"""

import select
import sys
import threading
import time
from collections.abc import Callable
from math import ceil, inf

from threadserve.errors import MailboxClosed
from threadserve.listening.accepted import ReturnedSocket

# Without epoll, which only Linux has, idle connections stay with their loops.
HAS_EPOLL = sys.platform.startswith("linux")
# How many connections are taken at a time.
MAX_READY_CONNECTIONS = 64
# The precision of timeouts.
DEADLINE_TICK_SECONDS = 0.5
# A connection is busy if its next request comes within so many seconds of its return: returning it was not worth it.
BUSY_SECONDS = 0.005


class ReturnQueue:
    """Connections that loops have returned, on their way to the acceptor."""

    def __init__(self, wake_threadsafe: Callable[[], None]) -> None:
        self._wake_threadsafe = wake_threadsafe
        self._return_lock = threading.Lock()
        self._returned: list[ReturnedSocket] = []
        self._is_closed = False

    def put_threadsafe(self, connection: ReturnedSocket) -> None:
        """Put a connection. Raises `MailboxClosed` if the acceptor watches no more connections."""
        with self._return_lock:
            if self._is_closed:
                raise MailboxClosed
            is_first = not self._returned
            self._returned.append(connection)
        if is_first:
            self._wake_threadsafe()

    def take_all(self) -> list[ReturnedSocket]:
        """Return what was put since the last call."""
        with self._return_lock:
            returned, self._returned = self._returned, []
        return returned

    def close(self) -> None:
        """Refuse further connections; those that were put before can still be taken."""
        with self._return_lock:
            self._is_closed = True


class IdleConnections:
    """The idle connections that belong to no loop.

    They may be idle for `timeout_keep_alive` seconds after a request, and `timeout_request_header` before the first
    one. For `grace` seconds after the last request, the next one may be under way.
    """

    def __init__(self, timeout_keep_alive: float, timeout_request_header: float, grace: float) -> None:
        self._timeouts = {True: timeout_keep_alive, False: timeout_request_header}
        self._grace_seconds = grace
        self._poll = select.epoll()
        self._connections: dict[int, ReturnedSocket] = {}
        # By the number of the tick at which they are closed.
        self._due: dict[int, set[ReturnedSocket]] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when one of the connections does."""
        return self._poll.fileno()

    def add(self, connection: ReturnedSocket) -> None:
        """Watch a connection. Raises `OSError` if the system watches no more."""
        descriptor = connection.fileno()
        self._poll.register(descriptor, select.EPOLLIN)
        self._connections[descriptor] = connection
        self._due.setdefault(round_up_to_tick(connection.deadline), set()).add(connection)

    def take_ready(self) -> list[ReturnedSocket]:
        """Return connections that can be read, or whose client has closed them: `MAX_READY_CONNECTIONS` at most."""
        events = self._poll.poll(0, MAX_READY_CONNECTIONS)
        ready = [self._connections[descriptor] for descriptor, _ in events]
        busy_since = time.monotonic() - BUSY_SECONDS
        for connection in ready:
            connection.is_busy = connection.since is not None and connection.since > busy_since
            self._forget(connection)
        return ready

    def take_recent(self) -> list[ReturnedSocket]:
        """Return the connections whose next request may be under way, judged by the time of their last one."""
        since = time.monotonic() - self._grace_seconds
        recent = [
            each for each in self._connections.values() if each.deadline - self._timeouts[each.speaks_http1] > since
        ]
        for connection in recent:
            self._forget(connection)
        return recent

    def next_deadline(self) -> float:
        """Return when the next connection times out, in seconds of `time.monotonic`."""
        return min(self._due, default=inf) * DEADLINE_TICK_SECONDS

    def close_overdue(self, now: float) -> None:
        """Close the connections that have timed out."""
        for tick in [tick for tick in self._due if tick * DEADLINE_TICK_SECONDS <= now]:
            for connection in list(self._due[tick]):
                self._forget(connection)
                connection.close()

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._due.clear()
        self._poll.close()

    def _forget(self, connection: ReturnedSocket) -> None:
        descriptor = connection.fileno()
        self._poll.unregister(descriptor)
        del self._connections[descriptor]
        tick = round_up_to_tick(connection.deadline)
        due = self._due[tick]
        due.discard(connection)
        if not due:
            del self._due[tick]


def round_up_to_tick(deadline: float) -> int:
    """Return the number of the first tick that is not before a deadline."""
    return ceil(deadline / DEADLINE_TICK_SECONDS)
