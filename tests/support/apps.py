"""Pieces of ASGI applications, and ways for a test's thread to follow and steer an application on another thread."""

import asyncio
import json
import threading
from collections.abc import Iterable
from typing import Any

from support.waiting import DEADLINE, wait_until

from threadserve.types import ASGIApp, Receive, Scope, Send

RawHeaders = Iterable[tuple[bytes, bytes]]


class Disconnected(Exception):
    """`http.disconnect` came instead of the rest of the body."""


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def start(send: Send, status: int = 200, headers: RawHeaders = (), **more: Any) -> None:
    """Sends http.response.start."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers), **more})


async def body(send: Send, data: bytes = b"", *, more: bool = False) -> None:
    """Sends http.response.body."""
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def respond(send: Send, data: bytes = b"", status: int = 200, headers: RawHeaders = ()) -> None:
    """Sends a whole response with its content-length."""
    await start(send, status, [*headers, (b"content-length", b"%d" % len(data))])
    await body(send, data)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the path, and reads nothing."""
    await respond(send, scope["path"].encode())


async def echo_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the request's body."""
    await respond(send, await read_body(receive))


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with JSON that tells the whole request, for `json.loads`; bytes become latin-1 text."""
    data = await read_body(receive)
    seen = {
        "method": scope["method"],
        "version": scope["http_version"],
        "path": scope["path"],
        "raw_path": scope["raw_path"].decode("latin-1"),
        "query": scope["query_string"].decode("latin-1"),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": data.decode("latin-1"),
    }
    await respond(send, json.dumps(seen).encode())


def start_killer() -> asyncio.Task[None]:
    """A task in the background that kills its loop; its exception is looked at, so that asyncio does not log it."""

    async def die() -> None:
        raise SystemExit("killed by a test")

    task = asyncio.create_task(die())
    task.add_done_callback(asyncio.Task.exception)
    return task


class Gate:
    """Holds application tasks, on whatever loops, until the test's thread opens it; stays open then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self.arrived = 0

    async def wait(self) -> None:
        """For the application: waits until the gate is open."""
        event = asyncio.Event()
        with self._lock:
            self.arrived += 1
            if self._open:
                return
            self._waiting.append((asyncio.get_running_loop(), event))
        await event.wait()

    def wait_for_arrivals(self, count: int = 1) -> None:
        """For the test: waits until `count` tasks have come to the gate in all."""
        wait_until(lambda: self.arrived >= count, f"{count} arrivals, of which {self.arrived} came")

    def open(self) -> None:
        """For the test: lets everyone through."""
        with self._lock:
            self._open = True
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            loop.call_soon_threadsafe(event.set)


class Recorder:
    """Wraps an application and notes each of its calls: the scope, and the bodies that arrived as a whole."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.scopes: list[Scope] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        parts: list[bytes] = []

        async def recorded_receive() -> Any:
            message = await receive()
            if message["type"] == "http.request":
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    self.bodies.append(b"".join(parts))
            return message

        await self.app(scope, recorded_receive, send)

    def clear(self) -> None:
        """Forgets what was noted."""
        self.scopes.clear()
        self.bodies.clear()


class Outcome:
    """Something that an application's task leaves for the test's thread."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._value: Any = None

    def set(self, value: Any = None) -> None:
        """For the application: leaves `value`."""
        self._value = value
        self._done.set()

    def get(self) -> Any:
        """For the test: waits for the value."""
        if not self._done.wait(DEADLINE):
            raise TimeoutError(f"the application left nothing within {DEADLINE} s")
        return self._value
