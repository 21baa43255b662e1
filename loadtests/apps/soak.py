"""The site, with what a soak needs: it says who serves, and `/die/ORIGIN` ends the event loop of that origin."""

import asyncio
import os
import threading

from loadtests.apps import site
from loadtests.apps.hello import Receive, Scope, Send

STARTS = ("http.response.start", "websocket.accept")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Say in the header `x-served-by` of each answer which process and thread it is from."""
    origin = f"{os.getpid()} {threading.current_thread().name}"

    async def send_with_origin(message: Scope) -> None:
        if message["type"] in STARTS:
            message["headers"] = [*message.get("headers", ()), (b"x-served-by", origin.encode())]
        await send(message)

    if scope.get("path") == f"/die/{origin}":
        await die()
    await site.app(scope, receive, send_with_origin)


async def die() -> None:
    """End the loop by a task of its own, as a bug in a background task would; never return."""

    async def end() -> None:
        raise SystemExit("made to die")

    task = asyncio.create_task(end())
    # The exception is looked at, so that asyncio does not log it as one that nobody saw.
    task.add_done_callback(asyncio.Task.exception)
    await asyncio.Event().wait()
