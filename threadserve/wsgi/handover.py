"""What goes over between one loop and the pool: its calls there, and their responses back.

What a turn of the loop has for the pool goes over at once, with one wake-up at most; so do the responses of calls that
were made one after the other. A `Handover` belongs to its loop's thread, but for what is named `*_threadsafe` and the
responses, which its own lock guards: it is held for a few lines.

While calls are quick the loop looks back about `LOOK_BACK_SECONDS` later, whatever happens: for responses that a pool
thread has not told of while it is at the next call, and for calls that nobody has taken up.
"""

import asyncio
import contextvars
import logging
from collections.abc import Callable

from threadserve.wsgi.call import Call
from threadserve.wsgi.parking import Mutex
from threadserve.wsgi.pool import Pool
from threadserve.wsgi.sink import Response

logger = logging.getLogger("threadserve.error")

LOOK_BACK_SECONDS = 0.001


class Handover:
    """One loop's. `post` has a call made on the loop, for any thread, and raises where it takes none."""

    __slots__ = (
        "_calls", "_context", "_handover_mutex", "_is_posted", "_looks_back", "_loop", "_pool", "_post", "_responses",
        "_target",
    )  # fmt: skip

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop, post: Callable[..., object]) -> None:
        self._pool = pool
        self._loop = loop
        self._post = post
        self._context = contextvars.Context()
        self._calls: list[Call] = []
        self._target = 0
        self._handover_mutex = Mutex()
        self._responses: list[Response] = []
        self._is_posted = False
        self._looks_back = False

    # On the loop's thread.

    def submit(self, call: Call) -> None:
        """Hands a call over at the end of this turn. Where the pool refuses it, its sink gets 503 to send."""
        if not self._calls:
            self._loop.call_soon(self._hand_over, context=self._context)
        self._calls.append(call)

    def _hand_over(self) -> None:
        calls, self._calls = self._calls, []
        pool = self._pool
        # A single call for threads that all sleep has nothing behind it that could be held up.
        begins = pool.is_quick() and not self._looks_back and not (len(calls) == 1 and pool.is_idle())
        if begins:
            self._look_back_later()
        if refused := pool.submit_threadsafe(calls, self._looks_back):
            pool.report_refusals_threadsafe(len(refused))
            for call in refused:
                call.refuse()
        if begins:
            self._target = pool.submitted

    def _look_back_later(self) -> None:
        self._loop.call_later(LOOK_BACK_SECONDS, self._look_back, context=self._context)
        mutex = self._handover_mutex
        mutex.lock()
        self._looks_back = True
        mutex.unlock()

    def _look_back(self) -> None:
        mutex = self._handover_mutex
        mutex.lock()
        self._looks_back = False
        mutex.unlock()
        self._deliver()
        if self._pool.look_threadsafe(self._target):
            self._target = self._pool.submitted
            self._look_back_later()

    def _deliver(self) -> None:
        waiting: list[Response] = []
        mutex = self._handover_mutex
        mutex.lock()
        responses, self._responses = self._responses, waiting
        self._is_posted = False
        mutex.unlock()
        for response in responses:
            try:
                response.deliver()
            except Exception as error:
                logger.error("A response could not be sent", exc_info=error)

    # On the pool's threads.

    def respond_threadsafe(self, response: Response) -> bool:
        """Has a response delivered on the loop; returns whether `wake_threadsafe` must follow before long.

        Raises what `post` raises.
        """
        mutex = self._handover_mutex
        mutex.lock()
        try:
            self._responses.append(response)
            if self._is_posted:
                return False
            if self._looks_back:
                return True
            self._is_posted = True
        finally:
            mutex.unlock()
        self._post(self._deliver)
        return False

    def wake_threadsafe(self) -> None:
        """Has the loop take the responses there are. Raises what `post` raises."""
        mutex = self._handover_mutex
        mutex.lock()
        wakes = not self._is_posted and bool(self._responses)
        self._is_posted = self._is_posted or wakes
        mutex.unlock()
        if wakes:
            self._post(self._deliver)
