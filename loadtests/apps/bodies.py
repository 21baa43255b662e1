"""Bodies of some size: one that is sent in parts, and one that is sent back as it came."""

from loadtests.apps.hello import Receive, Scope, Send

PART, PARTS = b"y" * 10_000, 50
LARGE_PART, LARGE_PARTS = b"z" * 65_536, 32
TEXT = (b"content-type", b"text/plain")


async def parts(scope: Scope, receive: Receive, send: Send) -> None:
    """Send 50 parts one by one, without a content-length."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    for _ in range(PARTS):
        await send({"type": "http.response.body", "body": PART, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """Send 2 MB in parts of 64 kB."""
    assert scope["type"] == "http"
    size = (b"content-length", b"%d" % (len(LARGE_PART) * LARGE_PARTS))
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT, size]})
    for left in reversed(range(LARGE_PARTS)):
        await send({"type": "http.response.body", "body": LARGE_PART, "more_body": left > 0})


async def send_back(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer when all of the request's body is there."""
    assert scope["type"] == "http"
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    size = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT, size]})
    await send({"type": "http.response.body", "body": bytes(body)})
