"""The load-test site with a fault in every kind of answer."""

from loadtests.apps import catalogue, site
from threadserve.types import Receive, Scope, Send

ANSWERS = {
    # A visitor is always a new one.
    "/": (200, "text/html", catalogue.page(1).encode()),
    "/static/style.css": (200, "text/css", catalogue.STYLE[:-1]),
    "/static/logo.svg": (200, "image/svg+xml", catalogue.LOGO[1:]),
    "/api/items": (200, "application/json", b"[]"),
    "/api/orders": (200, "application/json", b'{"item"'),
    "/upload": (200, "application/json", b'{"bytes": 1}'),
    "/stream": (200, "text/plain", b"line 1\n"),
    "/events": (200, "text/event-stream", catalogue.event(1) + catalogue.event(3)),
    "/block": (503, "text/plain", b"blocked"),
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.close"})
    elif scope["type"] != "http":
        await site.app(scope, receive, send)
    elif scope["path"] == "/download":
        await answer(send, 200, "application/octet-stream", catalogue.PIECE[:10], missing=1)
    else:
        await answer(send, *ANSWERS.get(scope["path"], (500, "text/plain", b"")))


async def answer(send: Send, status: int, media_type: str, body: bytes, missing: int = 0) -> None:
    """Answers with a body that breaks off so many bytes before the end that its head says."""
    length = b"%d" % (len(body) + missing)
    headers = [(b"content-type", media_type.encode()), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": missing > 0})
