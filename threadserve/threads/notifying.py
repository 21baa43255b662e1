"""The callback that a program has called while the server serves, to tell somebody that it lives.

Runs on the loop of the first thread, so that an application that blocks it silences the callback. It owns its task.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from threadserve.app.hints import add_hint

logger = logging.getLogger("threadserve.error")

SHORTEST_PAUSE = 1.0


@contextmanager
def notifying(callback: Callable[[], Awaitable[Any]] | None, interval: float) -> Iterator[None]:
    """Has a callback, if there is one, awaited on the running loop every `interval` seconds while this is entered."""
    if callback is None:
        yield
        return
    task = asyncio.get_running_loop().create_task(call_regularly(callback, max(interval, SHORTEST_PAUSE)))
    try:
        yield
    finally:
        task.cancel()


async def call_regularly(callback: Callable[[], Awaitable[Any]], pause: float) -> None:
    """Awaits a callback at once, and again after each pause, until it is cancelled; logs what the callback raises."""
    while True:
        try:
            await callback()
        except Exception as error:
            logger.error("callback_notify failed.", exc_info=add_hint(error))
        await asyncio.sleep(pause)
