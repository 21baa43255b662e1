"""The calls of one loop, on their way to the pool and back.

What a turn of the loop has for the pool goes over at once, with one wake-up at most; so do the answers of calls that
were made one after the other. `LoopCalls` belongs to its loop's thread, but for what is named `*_threadsafe` and the
answers, which its own lock guards: it is held for a few lines.

While calls are quick the loop looks back about `LOOK_BACK` seconds later, whatever happens: for answers that a pool
thread has not told of while it is at the next call, and for calls that nobody has taken up.
"""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable

from threadserve.interfaces.wsgi.answers import BUSY, Answer
from threadserve.interfaces.wsgi.call import Call
from threadserve.interfaces.wsgi.pool import Pool

logger = logging.getLogger("threadserve.error")

LOOK_BACK = 0.001

Finish = Callable[[Answer], None]


class LoopCalls:
    """One loop's calls. `post` has a call made on the loop, for any thread, and raises where it takes none."""

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop, post: Callable[..., object]) -> None:
        self._pool = pool
        self._loop = loop
        self._post = post
        self._context = contextvars.Context()
        self._calls: list[Call] = []
        self._target = 0
        self._answers_lock = threading.Lock()
        self._answers: list[tuple[Finish, Answer]] = []
        self._is_posted = False
        self._looks_back = False

    # On the loop's thread.

    def submit(self, call: Call) -> None:
        """Hands a call over at the end of this turn. Where the pool refuses it, its port's `finish` gets the answer."""
        if not self._calls:
            self._loop.call_soon(self._hand_over, context=self._context)
        self._calls.append(call)

    def _hand_over(self) -> None:
        calls, self._calls = self._calls, []
        pool = self._pool
        # A single call for threads that all sleep has nothing behind it that could be held up.
        begins = pool.is_quick and not self._looks_back and not (len(calls) == 1 and pool.is_idle)
        if begins:
            self._look_back_later()
        for refused in pool.submit_threadsafe(calls, looks_back=self._looks_back):
            pool.report_refusal_threadsafe()
            refused.port.finish(BUSY)
        if begins:
            self._target = pool.submitted

    def _look_back_later(self) -> None:
        self._loop.call_later(LOOK_BACK, self._look_back, context=self._context)
        with self._answers_lock:
            self._looks_back = True

    def _look_back(self) -> None:
        with self._answers_lock:
            self._looks_back = False
        self._deliver()
        if self._pool.look_threadsafe(self._target):
            self._target = self._pool.submitted
            self._look_back_later()

    def _deliver(self) -> None:
        with self._answers_lock:
            answers, self._answers = self._answers, []
            self._is_posted = False
        for finish, answer in answers:
            try:
                finish(answer)
            except Exception as error:
                logger.error("An answer could not be sent", exc_info=error)

    # On the pool's threads.

    def answer_threadsafe(self, finish: Finish, answer: Answer) -> bool:
        """Has `finish(answer)` called on the loop; returns whether `wake_threadsafe` must follow before long.

        Raises what `post` raises.
        """
        with self._answers_lock:
            self._answers.append((finish, answer))
            if self._is_posted:
                return False
            if self._looks_back:
                return True
            self._is_posted = True
        self._post(self._deliver)
        return False

    def wake_threadsafe(self) -> None:
        """Has the loop take the answers there are. Raises what `post` raises."""
        with self._answers_lock:
            if self._is_posted or not self._answers:
                return
            self._is_posted = True
        self._post(self._deliver)
