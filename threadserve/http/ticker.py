"""A loop's housekeeping, done at every tick.

Runs on the loop's thread, which owns it. It never touches a transport: connections are told that their deadline has
passed.
"""

import asyncio
from collections.abc import Callable

from threadserve.http.bounds import Bounds
from threadserve.http.deadlines import Deadlines
from threadserve.http.registry import ConnectionRegistry


class Ticker:
    """Refreshes the deadlines and calls `tick_callbacks` at every tick, and sends heads whose bodies are late.

    `ticks` may be read on any thread: while nothing blocks the loop there are about two of them in a second.
    `is_checking_heads` is true while a check for late bodies is scheduled.
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
        self.is_checking_heads = False

    def start(self) -> None:
        """Start the ticks."""
        self._handle = self._loop.call_later(self._deadlines.tick_seconds, self._tick)

    def stop(self) -> None:
        """Stop the ticks."""
        if self._handle is not None:
            self._handle.cancel()

    def _tick(self) -> None:
        self.ticks += 1
        self._deadlines.refresh()
        for callback in self.tick_callbacks:
            callback()
        self.start()
        # Bytes that clients sent in time may wait to be read, after a stall above all: they come before deadlines.
        self._loop.call_soon(self._loop.call_soon, self._registry.sweep, self._deadlines.now)

    def begin_shutdown(self) -> None:
        """Tick more often, and give clients that have begun something a moment for it."""
        self._deadlines.drain()
        self.stop()
        self.start()
        self._loop.call_later(self._bounds.partial_grace_seconds, self._registry.cancel_opening)

    def check_late_heads(self) -> None:
        """Schedule checks of the heads that are held for their bodies, until none is."""
        self.is_checking_heads = True
        self._loop.call_later(self._bounds.late_head_seconds, self._send_late_heads)

    def _send_late_heads(self) -> None:
        self.is_checking_heads = False
        if self._registry.send_late_heads():
            self.check_late_heads()
