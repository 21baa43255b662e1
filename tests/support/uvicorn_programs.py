"""What programs that were written for Uvicorn do with `Config` and `Server`, for the tests of such programs."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
from support.apps import respond
from support.waiting import DEADLINE, wait_until

from threadserve import Config, Server
from threadserve.types import Receive, Scope, Send

Sockets = list[socket.socket]


class App:
    """Answers with its name, and notes what it lives through."""

    def __init__(self, name: str = "app") -> None:
        self.name = name
        self.events: list[str] = []
        self.loops: set[asyncio.AbstractEventLoop] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.loops.add(asyncio.get_running_loop())
        if scope["type"] == "http":
            await respond(send, self.name.encode())
            return
        for _ in range(2):
            event = (await receive())["type"]
            self.events.append(event)
            await send({"type": f"{event}.complete"})

    @property
    def has_started_and_ended(self) -> bool:
        """Whether it has seen its lifespan from one end to the other, once for each loop that it has run on."""
        return self.events == ["lifespan.startup"] * len(self.loops) + ["lifespan.shutdown"] * len(self.loops)


def config_of(app: Any, **settings: Any) -> Config:
    """A configuration for a free port, which leaves the log to the test."""
    return Config(app, **{"host": "127.0.0.1", "port": 0, "log_config": None, **settings})


def url_of(server: Server) -> str:
    """Where a server is to be reached, as programs find that out."""
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    return f"http://{host}:{port}/"


async def until(condition: Callable[[], object]) -> None:
    """Waits in the running loop for a condition, as programs do."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 (what programs write)
            await asyncio.sleep(0.005)


async def ask(server: Server) -> str:
    """What a server answers to a client on the same loop."""
    async with httpx.AsyncClient(verify=False, timeout=DEADLINE) as client:
        return (await client.get(url_of(server))).text


def get(url: str) -> str:
    """What a server answers to a client on another thread."""
    return httpx.get(url, verify=False, timeout=DEADLINE).text


@contextmanager
def in_thread(server: Server, *arguments: Any) -> Iterator[None]:
    """Runs a server in a thread, as test suites do."""
    thread = threading.Thread(target=server.run, args=arguments)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), "the server to start")
        yield
    finally:
        server.should_exit = True
        thread.join(DEADLINE)
        assert not thread.is_alive()


@asynccontextmanager
async def in_task(*servers: Server) -> AsyncIterator[None]:
    """Runs servers in the running loop, next to what else is there."""
    tasks = [asyncio.create_task(server.serve()) for server in servers]
    await until(lambda: all(server.started for server in servers) or any(task.done() for task in tasks))
    yield
    for server in servers:
        server.should_exit = True
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*tasks)
