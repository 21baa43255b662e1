"""The client that weighs connections which rest: the server's memory without them and with them.

It opens and closes a few of both kinds first. Then it opens keep-alive connections, each after one request, and
WebSockets beside them, so that nothing that has been freed is used again. Memory is the USS of the server's processes,
read before, between and after.
"""

import asyncio
import resource
from contextlib import AsyncExitStack
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.protocol import State

from loadtests.clients import process
from loadtests.clients.asking import Asker, Group, Record
from loadtests.errors import LoadTestError
from loadtests.servers import memory

WARM_UP_CONNECTIONS = 50
SETTLE_SECONDS = 1.0
# Files that client and server have open beside the connections, and as many as anybody needs.
OTHER_FILES = 200
MANY_FILES = 32_768


class Connections(AsyncExitStack):
    """Connections of both kinds, which it closes in the end."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self._kept: list[Asker] = []
        self._websockets: list[ClientConnection] = []

    async def open(self, count: int, *, websockets: bool = False) -> None:
        """Open so many more of a kind, of which a keep-alive one gets an answer; raises OSError or LoadTestError."""
        for _ in range(count):
            if websockets:
                opening = connect(f"ws://127.0.0.1:{self._port}/", compression=None, ping_interval=None)
                self._websockets.append(await self.enter_async_context(opening))
            else:
                asker = Asker(self._port, Group(), Record())
                await asker.open()
                self.callback(asker.close)
                self._kept.append(asker)

    async def weigh(self, pid: int, rest: float) -> float:
        """Return the server's memory in MB after so many seconds; raises LoadTestError where it closed a connection."""
        await asyncio.sleep(rest)
        weight = memory.of_tree(pid)["USS MB"]
        closed = [asker for asker in self._kept if asker.is_closed]
        gone = [one for one in self._websockets if one.state is not State.OPEN]
        if closed or gone:
            raise LoadTestError(f"the server has closed {len(closed) + len(gone)} resting connections")
        return weight


def measure(port: int, pid: int, count: int, rest: float, websockets: bool) -> dict[str, Any]:
    """Open so many keep-alive connections and, where wanted, as many WebSockets.

    Return what one costs, in kB, as it is `rest` seconds later: long enough for WebSockets to be pinged. Raises
    LoadTestError where the server closes a connection.
    """
    return asyncio.run(weighed(port, pid, count, rest, websockets))


async def weighed(port: int, pid: int, count: int, rest: float, websockets: bool) -> dict[str, Any]:
    async with Connections(port) as first:
        for kind in {False, websockets}:
            await first.open(WARM_UP_CONNECTIONS, websockets=kind)
    async with Connections(port) as connections:
        before = await connections.weigh(pid, SETTLE_SECONDS)
        await connections.open(count)
        with_kept = await connections.weigh(pid, rest)
        if websockets:
            await connections.open(count, websockets=True)
        with_all = await connections.weigh(pid, rest if websockets else 0.0)
    kilobytes = {"kept": (with_kept - before) * 1000 / count, "websocket": (with_all - with_kept) * 1000 / count}
    return {"connections": count, "before MB": before, **kilobytes}


def allow_many_files() -> int:
    """Let this process, and those that it starts, open as many files as the system allows; return how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (many, hard))
    return many


def run(port: int, pid: int, count: int, rest: float, *, websockets: bool = False) -> dict[str, Any]:
    """Run the client as a process; raises LoadTestError where it fails."""
    return process.run("resting", rest, port=port, pid=pid, count=count, rest=rest, websockets=websockets)
