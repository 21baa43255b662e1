"""Bodies of some size: one that is sent in parts, and one that is sent back as it came."""

from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PART = b"y" * 10_000
PARTS = 50
LARGE_PART = b"z" * 65_536
LARGE_PARTS = 32


async def parts(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Sends its parts one by one, without a content-length."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for _ in range(PARTS):
        await send({"type": "http.response.body", "body": PART, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def large(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Sends 2 MB in parts of 64 kB."""
    assert scope["type"] == "http"
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % (len(LARGE_PART) * LARGE_PARTS))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(LARGE_PARTS - 1):
        await send({"type": "http.response.body", "body": LARGE_PART, "more_body": True})
    await send({"type": "http.response.body", "body": LARGE_PART})


async def send_back(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answers when it has all of the request's body."""
    assert scope["type"] == "http"
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(body)})
