"""From the bytes of a request over a WSGI application on a pool thread to those of the response."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from loadtests.apps import wsgi
from loadtests.micro.benchmark import Benchmark, Repeat
from loadtests.micro.client import PATIENCE, Client, loop_of
from loadtests.micro.http import GET, Asked
from threadserve.app.loading import AppLoader
from threadserve.config import Config

# The same on every machine and interpreter.
POOL_THREADS = 4
IN_FLIGHT = 8


@asynccontextmanager
async def conversations(count: int, app: Callable[..., Any] = wsgi.hello) -> AsyncIterator[Repeat]:
    """So many connections of one loop, each of which has answered once and has one request in flight."""
    config = Config(app, interface="wsgi", wsgi_threads=POOL_THREADS)
    loader = AppLoader(config)
    serving = loop_of(loader, config)
    try:
        clients = [Client(serving) for _ in range(count)]
        for client in clients:
            await client.ask(GET, Asked(GET).is_answered_by)

        async def repeat(operations: int) -> None:
            await asyncio.gather(*(client.converse(operations // count) for client in clients))

        yield clients[0].converse if count == 1 else repeat
        for client in clients:
            await client.leave()
    finally:
        loader.stop(PATIENCE)


BENCHMARKS = (
    Benchmark("wsgi", "GET of a WSGI hello world", 16, partial(conversations, 1)),
    Benchmark(
        "wsgi-in-flight",
        f"GET of a WSGI hello world, {IN_FLIGHT} at a time",
        5 * IN_FLIGHT,
        partial(conversations, IN_FLIGHT),
    ),
)
