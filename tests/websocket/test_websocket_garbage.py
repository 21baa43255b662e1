"""WebSockets leave nothing to the garbage collector, for which free-threaded Python stops every thread."""

import gc

import pytest
from support.embedded_server import Serve
from support.waiting import wait_until
from support.websocket_client import ConnectWebSocket, close, echo, opening, text

from threadserve.types import Receive, Scope, Send

MANY = 20
KINDS = {"WebSocketSession", "WebSocketConnection", "Exchange", "ASGISend"}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Echoes, or denies, or ends or raises without an answer, as the path says."""
    if scope["path"] == "/echo":
        await echo(scope, receive, send)
    elif scope["path"] == "/deny":
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no"})
    else:
        await send({"type": "websocket.close"})


def left() -> list[object]:
    """Objects of a WebSocket that are still there."""
    return [each for each in gc.get_objects() if type(each).__name__ in KINDS]


@pytest.mark.parametrize("path", ["/echo", "/deny", "/close"])
def test_websockets_leave_no_garbage(serve: Serve, connect: ConnectWebSocket, path: str) -> None:
    server = serve(app)
    gc.collect()
    gc.disable()
    try:
        before = len(left())
        for _ in range(MANY):
            client = connect(server)
            if path == "/echo":
                client.open(path)
                client.send(text("hello"))
                assert client.read_text() == "hello"
                client.send(close(1000))
                assert client.read_close() == (1000, "")
            else:
                client.send(opening(path))
                assert client.read_response().status == 403
            assert client.is_closed()
        wait_until(lambda: len(left()) <= before, "all that belongs to the WebSockets to be gone")
    finally:
        gc.enable()
