"""The setting `callback_notify`: a callback that tells a program's supervisor, again and again, that the server lives.

Runs on the first loop, so that an application that blocks the loop silences the callback. It owns the callback's task.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from threadserve.app.hints import add_hint

logger = logging.getLogger("threadserve.error")

MIN_NOTIFY_INTERVAL_SECONDS = 1.0


@contextmanager
def notify_while_serving(callback: Callable[[], Awaitable[object]] | None, interval: float) -> Iterator[None]:
    """Await the callback, if any, every `interval` seconds on the running loop, within the context."""
    if callback is None:
        yield
        return
    task = asyncio.get_running_loop().create_task(call_repeatedly(callback, max(interval, MIN_NOTIFY_INTERVAL_SECONDS)))
    try:
        yield
    finally:
        task.cancel()


async def call_repeatedly(callback: Callable[[], Awaitable[object]], pause: float) -> None:
    """Await a callback at once, and again after each pause, until cancelled; log what it raises."""
    while True:
        try:
            await callback()
        except Exception as error:
            logger.error("callback_notify failed.", exc_info=add_hint(error))
        await asyncio.sleep(pause)
