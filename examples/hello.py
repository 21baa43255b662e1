"""The smallest ASGI app: it says which thread answers.

    threadserve examples.hello:app --threads 4
    curl -Z --no-progress-meter 'http://127.0.0.1:8000/?[1-8]'

A connection stays with the thread that got it; these requests come at the same time, on several connections.
"""

import threading
from collections.abc import Awaitable, Callable
from typing import Any


async def app(scope: dict[str, Any], receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    assert scope["type"] == "http"
    body = f"Hello from {threading.current_thread().name}!\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
