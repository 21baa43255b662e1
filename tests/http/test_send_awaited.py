"""What `send` returns is a coroutine like any other, whoever awaits it and however."""

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from support.embedded_server import Serve
from support.raw_client import Connect

from threadserve.types import Receive, Scope, Send

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
PARTS: list[dict[str, Any]] = [
    {"type": "http.response.body", "body": b"o", "more_body": True},
    {"type": "http.response.body", "body": b"k"},
]
Way = Callable[[Send, dict[str, Any]], Awaitable[object]]


async def in_a_task(send: Send, message: dict[str, Any]) -> None:
    work: Any = send(message)
    await asyncio.create_task(work)


async def with_others(send: Send, message: dict[str, Any]) -> None:
    await asyncio.gather(send(message), asyncio.sleep(0))


async def within_a_time(send: Send, message: dict[str, Any]) -> None:
    await asyncio.wait_for(send(message), 30)


async def shielded(send: Send, message: dict[str, Any]) -> None:
    await asyncio.shield(send(message))


async def in_a_task_group(send: Send, message: dict[str, Any]) -> None:
    function: Any = send
    async with anyio.create_task_group() as group:
        group.start_soon(function, message)


async def from_a_thread(send: Send, message: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()

    def run() -> None:
        work: Any = send(message)
        asyncio.run_coroutine_threadsafe(work, loop).result(30)

    await asyncio.to_thread(run)


async def later(send: Send, message: dict[str, Any]) -> None:
    work: Any = send(message)
    await asyncio.sleep(0)
    await work


async def by_hand(send: Send, message: dict[str, Any]) -> None:
    work: Any = send(message)
    with pytest.raises(StopIteration):
        work.send(None)
    work.close()


@pytest.mark.parametrize(
    "way", [in_a_task, with_others, within_a_time, shielded, in_a_task_group, from_a_thread, later, by_hand]
)
def test_any_way_to_await(serve: Serve, connect: Connect, way: Way) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        work = send(START)
        assert asyncio.iscoroutine(work)
        await work
        for part in PARTS:
            await way(send, part)

    assert connect(serve(app)).get("/").body == b"ok"


def test_thrown_into(serve: Serve, connect: Connect) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        work: Any = send(START)
        with pytest.raises(LookupError, match="thrown"):
            work.throw(LookupError("thrown"))
        for part in PARTS:
            await send(part)

    assert connect(serve(app)).get("/").body == b"ok"


def test_coroutine_functions_for_those_who_look(serve: Serve, connect: Connect) -> None:
    """As asgiref does, which warns of others."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert asyncio.iscoroutinefunction(receive)
        assert asyncio.iscoroutinefunction(send)
        assert inspect.iscoroutinefunction(receive)
        if sys.version_info >= (3, 12):
            assert inspect.iscoroutinefunction(send)
        await send(START)
        for part in PARTS:
            await send(part)

    assert connect(serve(app)).get("/").body == b"ok"
