"""The client that weighs connections which rest: the server's memory without them and with them.

It opens and closes a few of both kinds first. Then it opens keep-alive connections, each after one request, and
WebSockets beside them, so that nothing that has been freed is used again. Memory is the USS of the server's processes,
read before, between and after.
"""

import asyncio
import resource
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from websockets.asyncio.client import connect
from websockets.protocol import State

from loadtests.apps import hello
from loadtests.errors import require
from loadtests.servers.usage import memory_of_tree

WARM_UP_CONNECTIONS = 50
SETTLE_SECONDS = 1.0
# Files that client and server have open beside the connections, and as many as anybody needs.
OTHER_FILES, MANY_FILES = 200, 32_768


async def open_kept(stack: AsyncExitStack, port: int) -> Callable[[], bool]:
    """Open a keep-alive connection, which the stack closes; return what tells whether the server has closed it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)
    writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await reader.readuntil(hello.BODY)
    return reader.at_eof


async def open_websocket(stack: AsyncExitStack, port: int) -> Callable[[], bool]:
    """Do the same with a WebSocket."""
    opening = connect(f"ws://127.0.0.1:{port}/", compression=None, ping_interval=None)
    websocket = await stack.enter_async_context(opening)
    return lambda: websocket.state is not State.OPEN


async def measure(port: int, pid: int, count: int, rest: float, websockets: bool = False) -> dict[str, Any]:
    """Open so many keep-alive connections and, where wanted, as many WebSockets.

    Return what one costs, in kB, as it is `rest` seconds later: long enough for WebSockets to be pinged. Raises
    LoadTestError where the server closes a connection.
    """
    kinds = {"kept": open_kept, "websocket": open_websocket} if websockets else {"kept": open_kept}
    async with AsyncExitStack() as stack:
        for open_one in kinds.values():
            for _ in range(WARM_UP_CONNECTIONS):
                await open_one(stack, port)
    async with AsyncExitStack() as stack:
        await asyncio.sleep(SETTLE_SECONDS)
        before = memory_of_tree(pid)["USS MB"]
        told = {"connections": count, "before MB": before}
        closings: list[Callable[[], bool]] = []
        for kind, open_one in kinds.items():
            closings += [await open_one(stack, port) for _ in range(count)]
            await asyncio.sleep(rest)
            after = memory_of_tree(pid)["USS MB"]
            closed = sum(is_closed() for is_closed in closings)
            require(not closed, f"the server has closed {closed} resting connections")
            told[kind], before = (after - before) * 1000 / count, after
    return told


def allow_many_files() -> int:
    """Let this process, and those that it starts, open as many files as the system allows; return how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (many, hard))
    return many
