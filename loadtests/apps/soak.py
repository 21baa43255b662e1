"""The site, with what a soak needs: it says who serves, and `/die` ends the event loop that it is asked on."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from loadtests.apps import site

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

STARTS = ("http.response.start", "websocket.accept")


async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
    """Says in the header `x-served-by` of each answer which process and thread it is from."""
    if scope["type"] == "lifespan":
        await site.app(scope, receive, send)
    elif scope["path"] == "/die":
        await die()
    else:
        await site.app(scope, receive, with_origin(send))


def with_origin(send: Send) -> Send:
    """Sends with the header."""
    origin = f"{os.getpid()} {threading.current_thread().name}".encode()

    async def send_with_origin(message: Message) -> None:
        if message["type"] in STARTS:
            message["headers"] = [*message.get("headers", ()), (b"x-served-by", origin)]
        await send(message)

    return send_with_origin


async def die() -> None:
    """Ends the loop by a task of its own, as a bug in a background task would; never returns."""

    async def end() -> None:
        raise SystemExit("made to die")

    task = asyncio.create_task(end())
    # The exception is looked at, so that asyncio does not log it as one that nobody saw.
    task.add_done_callback(asyncio.Task.exception)
    await asyncio.Event().wait()
