"""An application that stands for the loops that it is served on, on which a test runs what it wants."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from support.waiting import DEADLINE

from threadserve.types import Receive, Scope, Send


class Loops:
    """The loops of a server and the names of their threads, in the order in which they have started."""

    def __init__(self) -> None:
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.threads: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.loops.append(asyncio.get_running_loop())
        self.threads.append(threading.current_thread().name)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def start(self, number: int, work: Coroutine[Any, Any, Any]) -> "concurrent.futures.Future[Any]":
        """Has a coroutine run on one of them."""
        return asyncio.run_coroutine_threadsafe(work, self.loops[number])

    def run(self, number: int, work: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine returns, or raises, on one of them."""
        return self.start(number, work).result(DEADLINE)

    def call(self, number: int, act: Callable[[], object]) -> None:
        """Makes a call on the thread of one of them."""

        async def work() -> None:
            act()

        self.run(number, work())
