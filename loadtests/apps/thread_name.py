"""`/thread` is answered with the name of the thread that serves it, every other path with a hello world."""

import threading
from collections.abc import Awaitable, Callable
from typing import Any

from loadtests.apps import hello


async def app(scope: dict[str, Any], receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    if scope.get("path") != "/thread":
        await hello.app(scope, receive, send)
        return
    name = threading.current_thread().name.encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(name))]})
    await send({"type": "http.response.body", "body": name})
