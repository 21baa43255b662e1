"""The connections of a loop, and the calls of its application that are in flight.

Made, read and written by the loop's thread alone, except that any thread may read `requests`, and its sets in one step:
their size, or a copy. It owns no connection and no call: it knows of them, and tells them when the server stops.
"""

import asyncio
from typing import Any, Protocol

from threadserve.http.concurrency import ConcurrencyLimit


class Connection(Protocol):
    """A connection, as far as a loop's housekeeping sees it.

    In the seconds of the loop's `Deadlines`, it has time until `deadline`, and is to be released at `release_at` if it
    is idle still.
    """

    deadline: float
    release_at: float

    def begin_shutdown(self) -> None:
        """The server is stopping."""
        ...

    def abort(self) -> None:
        """Closes the connection at once."""
        ...

    def on_deadline(self) -> None:
        """The connection's deadline has passed."""
        ...

    def release(self) -> bool:
        """Gives the connection back to the acceptor, if it is idle; returns whether that was done."""
        ...


class ConnectionRegistry:
    """What a loop serves: `connections`, those that are `opening`, and `calls` of its application."""

    __slots__ = ("_limit", "calls", "connections", "drained", "is_draining", "opening", "requests")

    def __init__(self, limit: ConcurrencyLimit | None) -> None:
        self._limit = limit
        self.connections: set[Connection] = set()
        self.calls: set[Any] = set()
        self.opening: set[Any] = set()
        self.requests = 0
        self.is_draining = False
        self.drained = asyncio.Event()

    def admit(self) -> bool:
        """Whether another request may be taken up; one that is must `end`, or be withdrawn."""
        if self._limit is not None and not self._limit.enter_threadsafe():
            return False
        self.requests += 1
        return True

    def withdraw(self) -> None:
        """The request that was admitted last came to nothing."""
        self.requests -= 1
        if self._limit is not None:
            self._limit.leave_threadsafe()

    def end(self, call: Any) -> None:
        """The application is through with a call."""
        self.calls.discard(call)
        if self._limit is not None:
            self._limit.leave_threadsafe()
        if self.is_draining:
            self.check_drained()

    def begin_shutdown(self) -> None:
        """From now on every response closes its connection, and idle connections are closed."""
        self.is_draining = True
        for connection in list(self.connections):
            connection.begin_shutdown()
        self.check_drained()

    def on_opened(self, opening: Any) -> None:
        """A connection that was being opened is open, or has failed to."""
        self.opening.discard(opening)
        self.check_drained()

    def cancel_opening(self) -> None:
        """Opens nothing further: clients that are still at their handshake are let go."""
        for opening in list(self.opening):
            opening.cancel()

    def terminate(self) -> None:
        """Ends every call of the application and every connection. The access log has been told when this returns."""
        for call in list(self.calls):
            call.cancel()
        for connection in list(self.connections):
            connection.abort()

    def check_drained(self) -> None:
        """Sets `drained` when the shutdown has nothing left to wait for."""
        if self.is_draining and not (self.calls or self.connections or self.opening):
            self.drained.set()

    def sweep(self, now: float) -> None:
        """Tells every connection whose deadline is before `now`, in the seconds of the loop's `Deadlines`."""
        for connection in [connection for connection in self.connections if connection.deadline <= now]:
            connection.on_deadline()

    def take_idle(self, now: float, again_at: float, limit: int) -> list[Connection]:
        """So many connections that are to be released by `now` if they are idle; those that are not, `again_at`."""
        rested = [connection for connection in self.connections if connection.release_at <= now][:limit]
        for connection in rested:
            connection.release_at = again_at
        return rested

    def send_late_heads(self) -> bool:
        """Sends the heads that have waited for their bodies long enough; returns whether some are held still."""
        held = [call for call in list(self.calls) if call.send_late_head()]
        return bool(held)
