"""The start of tasks on a loop.

Runs on the loop's thread; keeps nothing.
"""

import asyncio
import contextvars
import sys
from collections.abc import Callable, Coroutine

StartTask = Callable[[Coroutine[object, None, None]], "asyncio.Task[None]"]


def make_task_starter(loop: asyncio.AbstractEventLoop, make_context: Callable[[], contextvars.Context]) -> StartTask:
    """Return the function that starts a request's task, at once where Python can (3.12): that saves a turn of the loop.

    Each task has a context of its own. The current context would not do: it is that of an earlier request of the
    connection, where that request's application was the one to have more read.
    """

    def start_in_next_turn(work: Coroutine[object, None, None]) -> "asyncio.Task[None]":
        return loop.create_task(work, context=make_context())

    if sys.version_info < (3, 12):
        return start_in_next_turn
    make_task = asyncio.Task

    def start_at_once(work: Coroutine[object, None, None]) -> "asyncio.Task[None]":
        return make_task(work, loop=loop, eager_start=True, context=make_context())

    return start_at_once
