"""A loop's clock, and the deadlines that count from now.

Belongs to the loop's thread. Its clock stands still while the loop is blocked, so that clients are not charged for
that; it looks at no connection.
"""

import asyncio
from math import inf

from threadserve.config import Config
from threadserve.http.bounds import Bounds


class Deadlines:
    """The deadlines of what begins now, in the seconds of `now`.

    `idle` is for the next request, `head` for the rest of a request's head, `body` for more of its body, `linger` for
    the client's end, `close` for taking the last bytes, `write_stall` for taking more of them, `ping` for the next ping
    of a WebSocket, and `pong` for its answer. At `release` a loop releases a connection that has been idle since then;
    never, unless `gives_back`.
    """

    __slots__ = (
        "_bounds",
        "_idle_release_seconds",
        "_looked_at",
        "_loop",
        "_ping_interval",
        "_ping_timeout",
        "_timeout_keep_alive",
        "_timeout_request_body",
        "_timeout_request_header",
        "body",
        "close",
        "head",
        "idle",
        "is_draining",
        "linger",
        "now",
        "ping",
        "pong",
        "release",
        "tick_seconds",
        "write_stall",
    )

    def __init__(
        self, config: Config, loop: asyncio.AbstractEventLoop, bounds: Bounds, *, gives_back: bool = False
    ) -> None:
        self._bounds = bounds
        self._loop = loop
        self._ping_interval = config.ws_ping_interval or inf
        self._ping_timeout = config.ws_ping_timeout or inf
        self._idle_release_seconds = bounds.idle_release_seconds if gives_back else inf
        self._timeout_keep_alive = config.timeout_keep_alive
        self._timeout_request_body = inf if config.timeout_request_body is None else config.timeout_request_body
        self._timeout_request_header = config.timeout_request_header
        self.is_draining = False
        self.tick_seconds = bounds.tick_seconds
        self.now = self._looked_at = loop.time()
        self.refresh()

    def drain(self) -> None:
        """Tick more often and give idle clients less time, because the server is stopping."""
        self.is_draining = True
        self.refresh()
        self.tick_seconds = self._bounds.shutdown_tick_seconds

    def refresh(self) -> None:
        """Read the time and set all deadlines again. Called at every tick."""
        bounds = self._bounds
        looked_at, self._looked_at = self._looked_at, self._loop.time()
        self.now += min(self._looked_at - looked_at, self.tick_seconds)
        # A deadline set between two ticks counts from the next one, however late that is, so that none comes early.
        base = self.now + bounds.tick_seconds
        self.idle = base + self._timeout_keep_alive
        self.release = base + self._idle_release_seconds
        self.head = base + self._timeout_request_header
        self.body = base + self._timeout_request_body
        if self.is_draining:
            self.idle = self.now + bounds.idle_grace_seconds
            self.head = self.now + min(bounds.partial_grace_seconds, self._timeout_request_header)
        self.linger = base + bounds.linger_seconds
        self.close = base + bounds.close_seconds
        self.write_stall = base + bounds.write_stall_seconds
        self.ping = base + self._ping_interval
        self.pong = base + self._ping_timeout

    def for_returned(self, left: float) -> float:
        """Return when to close a connection from the acceptor whose client asks nothing for `left` seconds.

        What has arrived is read before.
        """
        return self.now + self.tick_seconds + max(left, self.tick_seconds)

    def for_idle_at_shutdown(self, idle: float) -> float:
        """Return when a shutdown closes an idle connection whose own deadline is `idle`.

        One that was used a moment ago may have its next request under way, so it is kept for that moment. When exactly
        it was used is not known, but the deadline counts from a tick that came no earlier.
        """
        grace = self._bounds.idle_grace_seconds
        idle_since = idle - self._timeout_keep_alive
        return min(max(self.now, idle_since + grace), self.now + grace)
