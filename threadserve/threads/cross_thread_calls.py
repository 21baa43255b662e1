"""Calls of a loop's methods by a thread other than the loop's own: forwarded to that thread, and logged.

asyncio refuses such calls in its debug mode. Otherwise it accepts them without waking the loop, so that the callback
runs up to half a second later, or never.

`CrossThreadCalls` runs on the thread that makes such a call. It owns the queue of forwarded calls: other threads append
to it, the loop's own thread takes from it.
"""

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context

from threadserve.threads.cross_thread_log import CrossThreadLog

Callback = Callable[..., object]

# The calling thread may be in the middle of something: `Event.set` iterates over its waiters, of which none may leave
# meanwhile. On another loop's thread that ends with the callback, which is waited for so long at most: it may block,
# and its loop may stop. Of a thread without a loop, the loop runs forwarded calls once none has come for so long, but
# pauses so many times at most.
MAX_CALLBACK_SECONDS = 0.5
QUIET_SECONDS = 0.02
MAX_PAUSES = 10


class CrossThreadCalls:
    """Stands in for the methods of one loop on all threads but its own. Made on that loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, places: CrossThreadLog) -> None:
        self._loop = loop
        self._places = places
        self._owner_name = threading.current_thread().name
        self._call_soon = loop.call_soon
        self._call_later = loop.call_later
        self._call_at = loop.call_at
        self._forwarded: deque[ForwardedCall] = deque()
        self._is_scheduled = False

    def call_soon(self, callback: Callback, *args: object, context: Context | None = None) -> asyncio.Handle:
        """Forward the call to the loop's thread, which runs the callbacks a moment later, in their order.

        On the thread of another loop, that is after the callback that calls this, or half a second later.
        """
        if self._loop.get_debug():
            return self._call_soon(callback, *args, context=context)
        self._log(find_method(callback, args))
        call = ForwardedCall(self._loop.time(), callback, args, self._loop, context)
        caller = asyncio._get_running_loop()
        if caller is None or caller is self._loop:
            self._forwarded.append(call)
            self._loop.call_soon_threadsafe(self._schedule)
        else:
            self._loop.call_soon_threadsafe(self._call_later, MAX_CALLBACK_SECONDS, call.run)
            caller.call_soon(self._hand_over, call)
        return call

    def call_later(
        self, delay: float, callback: Callback, *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Let the loop's own thread start the timer."""
        if self._loop.get_debug():
            return self._call_later(delay, callback, *args, context=context)
        self._log("loop.call_later")
        call = ForwardedCall(self._loop.time() + delay, callback, args, self._loop, context)
        self._loop.call_soon_threadsafe(self._call_later, delay, call.run)
        return call

    def call_at(
        self, when: float, callback: Callback, *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Let the loop's own thread start the timer."""
        if self._loop.get_debug():
            return self._call_at(when, callback, *args, context=context)
        self._log("loop.call_at")
        call = ForwardedCall(when, callback, args, self._loop, context)
        self._loop.call_soon_threadsafe(self._call_at, when, call.run)
        return call

    def _log(self, method: str) -> None:
        # Before the loop runs and after its end, nobody else uses it.
        if self._loop.is_running():
            called = sys._getframe(1)
            self._places.report(method, self._owner_name, called.f_back)

    def _hand_over(self, call: "ForwardedCall") -> None:
        # The loop may have been closed meanwhile.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call.run)

    # On the loop's own thread.

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._call_later(QUIET_SECONDS, self._run_forwarded, len(self._forwarded), MAX_PAUSES)

    def _run_forwarded(self, known: int, pauses: int) -> None:
        count = len(self._forwarded)
        if count > known and pauses:
            self._call_later(QUIET_SECONDS, self._run_forwarded, count, pauses - 1)
            return
        self._is_scheduled = False
        for _ in range(count):
            self._forwarded.popleft().run()


class ForwardedCall(asyncio.TimerHandle):
    """The handle of a forwarded call. The caller and the loop may cancel it; the loop runs it."""

    _has_run = False

    def cancel(self) -> None:
        """Cancel the call. The loop need not know: it did not schedule this timer."""
        self._cancelled = True

    def run(self) -> None:
        """Run the callback the first time that this is called, unless it was cancelled."""
        if not self._cancelled and not self._has_run:
            self._has_run = True
            self._run()


def find_method(callback: Callback, args: tuple[object, ...]) -> str:
    """Return the method that called `call_soon`. asyncio's futures and tasks are compiled and have no frames."""
    if isinstance(getattr(callback, "__self__", None), asyncio.Task) and not args:
        return "loop.create_task"
    if len(args) != 1 or not isinstance(args[0], asyncio.Future) or not args[0].done():
        return "loop.call_soon"
    future = args[0]
    if future.cancelled():
        return "Future.cancel"
    return "Future.set_result" if future._exception is None else "Future.set_exception"
