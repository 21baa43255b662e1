"""Calls that a loop's own thread alone may make, made by another: passed on to that thread, and logged.

asyncio refuses them in its debug mode. Otherwise it takes them in silence and does not wake the loop, so that what was
called for happens up to half a second later, or never.

`ForeignCalls` runs on whichever thread makes such a call, and owns nothing but what is on its way: other threads append
to that, the loop's own takes it.
"""

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from threadserve.threads.foreign_places import ForeignPlaces

Callback = Callable[..., object]

# How long, in seconds, no such call must have come before the loop makes those that did, and how often it is waited for
# that. A thread that calls may be in the middle of something: `Event.set` goes through its waiters, of which none may
# go before it is through.
QUIET = 0.02
MOST_PAUSES = 10


class ForeignCalls:
    """Stands in for the methods of one loop on all threads but its own. Made on that loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, places: ForeignPlaces) -> None:
        self._loop = loop
        self._places = places
        self._owner = threading.current_thread().name
        self._call_soon = loop.call_soon
        self._call_later = loop.call_later
        self._call_at = loop.call_at
        self._passed: deque[PassedCall] = deque()
        self._is_waiting = False

    def call_soon(self, callback: Callback, *args: Any, context: Context | None = None) -> asyncio.Handle:
        """Wakes the loop, which makes the call a moment later, in the order of all such calls."""
        if self._loop.get_debug():
            return self._call_soon(callback, *args, context=context)
        self._report(method_behind(callback, args))
        call = PassedCall(self._loop.time(), callback, args, self._loop, context)
        self._passed.append(call)
        self._loop.call_soon_threadsafe(self._on_passed)
        return call

    def call_later(
        self, delay: float, callback: Callback, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Has the loop's own thread start the timer."""
        if self._loop.get_debug():
            return self._call_later(delay, callback, *args, context=context)
        self._report("loop.call_later")
        call = PassedCall(self._loop.time() + delay, callback, args, self._loop, context)
        self._loop.call_soon_threadsafe(self._call_later, delay, call.make)
        return call

    def call_at(
        self, when: float, callback: Callback, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Has the loop's own thread start the timer."""
        if self._loop.get_debug():
            return self._call_at(when, callback, *args, context=context)
        self._report("loop.call_at")
        call = PassedCall(when, callback, args, self._loop, context)
        self._loop.call_soon_threadsafe(self._call_at, when, call.make)
        return call

    def _report(self, method: str) -> None:
        # Before it runs and after its end nobody else uses the loop.
        if self._loop.is_running():
            called = sys._getframe(1)
            self._places.report(method, self._owner, called.f_back)

    # On the loop's own thread.

    def _on_passed(self) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            self._call_later(QUIET, self._make_passed, len(self._passed), MOST_PAUSES)

    def _make_passed(self, known: int, pauses: int) -> None:
        count = len(self._passed)
        if count > known and pauses:
            self._call_later(QUIET, self._make_passed, count, pauses - 1)
            return
        self._is_waiting = False
        for _ in range(count):
            self._passed.popleft().make()


class PassedCall(asyncio.TimerHandle):
    """What the thread gets that calls another one's loop. Either may cancel it, and the loop makes it."""

    def cancel(self) -> None:
        """Has nothing called. The loop is not told, as it would be of a timer of its own."""
        self._cancelled = True

    def make(self) -> None:
        """It is time."""
        if not self._cancelled:
            self._run()


def method_behind(callback: Callback, args: tuple[Any, ...]) -> str:
    """What called `call_soon`, as far as that shows: asyncio's futures and tasks are compiled, and have no frames."""
    if isinstance(getattr(callback, "__self__", None), asyncio.Task) and not args:
        return "loop.create_task"
    if len(args) != 1 or not isinstance(args[0], asyncio.Future) or not args[0].done():
        return "loop.call_soon"
    future = args[0]
    if future.cancelled():
        return "Future.cancel"
    return "Future.set_result" if future._exception is None else "Future.set_exception"
