"""The connections of a loop, and the calls of its application that are in flight.

Made, read and written by the loop's thread alone, except that any thread may read `requests`, and its sets in one step:
their size, or a copy. It owns no connection and no call: it knows of them, and tells them when the server stops.
"""

import asyncio
from typing import Protocol

from threadserve.http.concurrency import ConcurrencyLimit
from threadserve.metrics.states import RunningCall
from threadserve.types import ConnectionScope


class Connection(Protocol):
    """A connection, as a loop's housekeeping sees it.

    In the seconds of the loop's `Deadlines`, its time is over at `deadline`, and it is to be released at `release_at`
    if it is idle still.
    """

    deadline: float
    release_at: float

    def begin_shutdown(self) -> None:
        """Close the connection as soon as its request in flight allows, because the server is stopping."""
        ...

    def abort(self) -> None:
        """Close the connection at once."""
        ...

    def on_deadline(self) -> None:
        """The connection's deadline has passed."""
        ...

    def release(self) -> bool:
        """Release the connection to the acceptor if it is idle; return whether that was done."""
        ...


class AppCall(Protocol):
    """One call of the application, for a request or for a WebSocket.

    `task` is set once the call has to wait, `started_at` is by `perf_counter`.
    """

    scope: ConnectionScope
    started_at: float
    task: "asyncio.Task[None] | None"

    def send_late_head(self) -> bool:
        """Send a head alone if it was held the last time this was called too; return whether one is held."""
        ...

    def disconnect(self, *, gone: bool) -> None:
        """Note that the client sends no more, and with `gone` that it receives no more either."""
        ...

    def cancel(self) -> None:
        """Cancel the application."""
        ...

    def to_running_call(self) -> RunningCall:
        """Return the request, and the seconds that the call has taken so far. May be called on any thread."""
        ...

    def describe(self) -> str:
        """Return the call's name in the log, and for how long it has gone on."""
        ...


class Opening(Protocol):
    """A connection that is being opened."""

    def cancel(self) -> object:
        """Stop waiting for the client."""
        ...


class ConnectionRegistry:
    """A loop's `connections`, the connections that are `opening`, and the `calls` of its application.

    `requests` counts the requests taken up so far. `drained` is set when a shutdown has nothing left to wait for.
    Belongs to the loop's thread.
    """

    __slots__ = ("_limit", "calls", "connections", "drained", "is_draining", "opening", "requests")

    def __init__(self, limit: ConcurrencyLimit | None) -> None:
        self._limit = limit
        self.connections: set[Connection] = set()
        self.calls: set[AppCall] = set()
        self.opening: set[Opening] = set()
        self.requests = 0
        self.is_draining = False
        self.drained = asyncio.Event()

    def admit(self) -> bool:
        """Return whether another request may be taken up; one that is has to `end_call`, or be withdrawn."""
        if self._limit is not None and not self._limit.acquire_threadsafe():
            return False
        self.requests += 1
        return True

    def withdraw(self) -> None:
        """Count out the request that was admitted last, which came to nothing."""
        self.requests -= 1
        if self._limit is not None:
            self._limit.release_threadsafe()

    def end_call(self, call: AppCall) -> None:
        """Count out a call that the application has ended."""
        self.calls.discard(call)
        if self._limit is not None:
            self._limit.release_threadsafe()
        if self.is_draining:
            self.check_drained()

    def begin_shutdown(self) -> None:
        """Make every response close its connection from now on, and close idle connections."""
        self.is_draining = True
        for connection in list(self.connections):
            connection.begin_shutdown()
        self.check_drained()

    def on_opened(self, opening: Opening) -> None:
        """A connection that was being opened is open, or has failed to."""
        self.opening.discard(opening)
        self.check_drained()

    def cancel_opening(self) -> None:
        """Stop opening connections, whose clients are still at their handshake."""
        for opening in list(self.opening):
            opening.cancel()

    def terminate(self) -> None:
        """End every call and every connection at once. The access log has been written when this returns."""
        for call in list(self.calls):
            call.cancel()
        for connection in list(self.connections):
            connection.abort()

    def check_drained(self) -> None:
        """Set `drained` when the shutdown has nothing left to wait for."""
        if self.is_draining and not (self.calls or self.connections or self.opening):
            self.drained.set()

    def sweep(self, now: float) -> None:
        """Tell every connection whose deadline is before `now`, in the seconds of the loop's `Deadlines`."""
        for connection in [connection for connection in self.connections if connection.deadline <= now]:
            connection.on_deadline()

    def take_idle(self, now: float, again_at: float, limit: int) -> list[Connection]:
        """Return up to `limit` connections that are due to be released at `now` if they are idle.

        Those that are not idle are due again at `again_at`.
        """
        rested = [connection for connection in self.connections if connection.release_at <= now][:limit]
        for connection in rested:
            connection.release_at = again_at
        return rested

    def send_late_heads(self) -> bool:
        """Send the heads that have waited for their bodies long enough; return whether some still wait."""
        held = [call for call in list(self.calls) if call.send_late_head()]
        return bool(held)
