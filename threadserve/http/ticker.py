"""A loop's housekeeping: what is renewed and looked at again and again.

Runs on the loop's thread, which owns it. It never touches a transport: connections are told that their deadline has
passed.
"""

import asyncio
from collections.abc import Callable

from threadserve.http.bounds import Bounds
from threadserve.http.deadlines import Deadlines
from threadserve.http.registry import ConnectionRegistry


class Ticker:
    """Renews the deadlines, and what is in `tick_callbacks`, at every tick, and looks after heads whose bodies are
    late.

    `ticks` may be read on any thread: while nothing blocks the loop there are about two of them in a second.
    """

    __slots__ = (
        "_bounds",
        "_deadlines",
        "_handle",
        "_loop",
        "_registry",
        "is_checking_heads",
        "tick_callbacks",
        "ticks",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, deadlines: Deadlines, registry: ConnectionRegistry, bounds: Bounds
    ) -> None:
        self._loop = loop
        self._deadlines = deadlines
        self._registry = registry
        self._bounds = bounds
        self._handle: asyncio.TimerHandle | None = None
        self.tick_callbacks: list[Callable[[], object]] = []
        self.ticks = 0
        # Whether it will be looked whether heads are held for bodies that are late.
        self.is_checking_heads = False

    def start(self) -> None:
        """Starts the ticks."""
        self._handle = self._loop.call_later(self._deadlines.tick_seconds, self._tick)

    def stop(self) -> None:
        """Ends the ticks."""
        if self._handle is not None:
            self._handle.cancel()

    def _tick(self) -> None:
        self.ticks += 1
        self._deadlines.refresh()
        for renew in self.tick_callbacks:
            renew()
        self.start()
        # What clients sent in time may wait to be read, after a stall above all: it gets a turn before deadlines do.
        self._loop.call_soon(self._loop.call_soon, self._registry.sweep, self._deadlines.now)

    def begin_shutdown(self) -> None:
        """The server is stopping: ticks come more often, and clients that have begun something get a moment for it."""
        self._deadlines.drain()
        self.stop()
        self.start()
        self._loop.call_later(self._bounds.partial_grace_seconds, self._registry.cancel_opening)

    def check_late_heads(self) -> None:
        """A head is held for its body: looks after it, and others, until none is."""
        self.is_checking_heads = True
        self._loop.call_later(self._bounds.late_head_seconds, self._send_late_heads)

    def _send_late_heads(self) -> None:
        self.is_checking_heads = False
        if self._registry.send_late_heads():
            self.check_late_heads()
