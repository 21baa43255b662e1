"""What applications have in common whose module answers `probe()` on each thread that has an instance of them."""

import asyncio
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from support.waiting import DEADLINE

from threadserve.app.loading import AppLoader

THREADS = 3
Probe = Callable[[AppLoader], list[Any]]

APP = """
class App:
    async def __call__(self, scope, receive, send): pass
    def probe(self): return probe()

app = App()
"""


def with_app(source: str) -> str:
    """A module that has a `probe`, with the application that calls it."""
    return textwrap.dedent(source) + APP


def probe_all(loader: AppLoader) -> list[Any]:
    """Loads on three threads, and calls `app.probe()` on each when all have loaded; returns what they have returned."""
    barrier = threading.Barrier(THREADS)

    async def load_and_probe(number: int) -> Any:
        app: Any = loader.load_threadsafe(number)
        barrier.wait(DEADLINE)
        result = app.probe()
        return await result if asyncio.iscoroutine(result) else result

    def run(number: int) -> Any:
        try:
            return asyncio.run(load_and_probe(number))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(run, range(1, THREADS + 1)))
