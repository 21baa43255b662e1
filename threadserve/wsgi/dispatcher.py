"""The queues between one loop and the pool: calls to the pool, completed calls back to the loop.

The calls of one turn of the loop are submitted in one batch with at most one wake-up, and so are completed calls
delivered. A `CallDispatcher` belongs to its loop's thread, except for methods named `*_threadsafe` and the queue of
completed calls, which its mutex guards; it is held for a few lines.

While calls are short, the loop rechecks both queues about `RECHECK_SECONDS` later: for completed calls whose pool
thread has started its next call without waking the loop, and for calls that no thread has taken.
"""

import asyncio
import contextvars
import logging
from collections.abc import Callable

from threadserve.wsgi.call import Call
from threadserve.wsgi.locks import Mutex
from threadserve.wsgi.pool import Pool
from threadserve.wsgi.sink import CompletedCall

logger = logging.getLogger("threadserve.error")

RECHECK_SECONDS = 0.001


class CallDispatcher:
    """The dispatcher of one loop. `post` schedules a function on the loop from any thread, or raises."""

    __slots__ = (
        "_calls",
        "_completed",
        "_context",
        "_dispatcher_mutex",
        "_has_recheck_planned",
        "_is_posted",
        "_loop",
        "_pool",
        "_post",
        "_recheck_target",
    )

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop, post: Callable[..., object]) -> None:
        self._pool = pool
        self._loop = loop
        self._post = post
        self._context = contextvars.Context()
        self._calls: list[Call] = []
        self._recheck_target = 0
        self._dispatcher_mutex = Mutex()
        self._completed: list[CompletedCall] = []
        self._is_posted = False
        self._has_recheck_planned = False

    # On the loop's thread.

    def submit(self, call: Call) -> None:
        """Submit a call at the end of this turn of the loop. A call that the pool refuses is answered with 503."""
        if not self._calls:
            self._loop.call_soon(self._submit_batch, context=self._context)
        self._calls.append(call)

    def _submit_batch(self) -> None:
        calls, self._calls = self._calls, []
        pool = self._pool
        # One call for a pool of idle threads has nothing queued behind it that could be delayed.
        needs_recheck = (
            pool.has_short_calls()
            and not self._has_recheck_planned
            and not (len(calls) == 1 and pool.has_only_idle_threads())
        )
        if needs_recheck:
            self._plan_recheck()
        if refused := pool.submit_threadsafe(calls, self._has_recheck_planned):
            pool.report_refusals_threadsafe(len(refused))
            for call in refused:
                call.refuse()
        if needs_recheck:
            self._recheck_target = pool.submitted

    def _plan_recheck(self) -> None:
        self._loop.call_later(RECHECK_SECONDS, self._recheck, context=self._context)
        mutex = self._dispatcher_mutex
        mutex.lock()
        self._has_recheck_planned = True
        mutex.unlock()

    def _recheck(self) -> None:
        mutex = self._dispatcher_mutex
        mutex.lock()
        self._has_recheck_planned = False
        mutex.unlock()
        self._deliver_completed()
        if self._pool.recheck_threadsafe(self._recheck_target):
            self._recheck_target = self._pool.submitted
            self._plan_recheck()

    def _deliver_completed(self) -> None:
        empty: list[CompletedCall] = []
        mutex = self._dispatcher_mutex
        mutex.lock()
        completed, self._completed = self._completed, empty
        self._is_posted = False
        mutex.unlock()
        for response in completed:
            try:
                response.deliver()
            except Exception as error:
                logger.error("A response could not be sent", exc_info=error)

    # On the pool's threads.

    def complete_threadsafe(self, response: CompletedCall) -> bool:
        """Queue a completed call for delivery on the loop; return whether the caller must call `wake_threadsafe` soon.

        Raises the errors of `post`.
        """
        mutex = self._dispatcher_mutex
        mutex.lock()
        try:
            self._completed.append(response)
            if self._is_posted:
                return False
            if self._has_recheck_planned:
                return True
            self._is_posted = True
        finally:
            mutex.unlock()
        self._post(self._deliver_completed)
        return False

    def wake_threadsafe(self) -> None:
        """Deliver the completed calls soon, on the loop. Raises the errors of `post`."""
        mutex = self._dispatcher_mutex
        mutex.lock()
        wakes = not self._is_posted and bool(self._completed)
        self._is_posted = self._is_posted or wakes
        mutex.unlock()
        if wakes:
            self._post(self._deliver_completed)
