"""The opening handshake, over both HTTP parsers: what opens a WebSocket, what does not, and what the app is told."""

import base64
import hashlib
from typing import Any

import pytest
from support.apps import Outcome, hello
from support.embedded_server import Serve
from support.raw_client import request
from support.websocket_client import KEY, ConnectWebSocket, echo, opening, text

from threadserve.types import Receive, Scope, Send


def without(name: str, *fields: str) -> bytes:
    """An opening request less a field, and with others."""
    lines = opening("/", *fields).split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(name.lower().encode() + b":"))


async def either(scope: Scope, receive: Receive, send: Send) -> None:
    """Serves requests and WebSockets."""
    await (hello if scope["type"] == "http" else echo)(scope, receive, send)


def test_a_websocket_is_opened(serve: Serve, connect: ConnectWebSocket, parser: str) -> None:
    client = connect(serve(echo, http=parser))
    response = client.open("/chat")
    digest = hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
    assert response.header("sec-websocket-accept") == base64.b64encode(digest)
    assert response.header("upgrade") == b"websocket"
    assert response.header("connection") == b"upgrade"
    assert response.header("server") == b"threadserve"
    assert response.header("date")
    assert response.header("content-length") is None
    client.send(text("hello"))
    assert client.read_text() == "hello"


def test_frames_right_behind_the_request_are_taken_up(serve: Serve, connect: ConnectWebSocket, parser: str) -> None:
    client = connect(serve(echo, http=parser))
    client.open(behind=text("one") + text("two"))
    assert [client.read_text(), client.read_text()] == ["one", "two"]


def test_a_websocket_follows_requests(serve: Serve, connect: ConnectWebSocket, parser: str) -> None:
    client = connect(serve(either, http=parser))
    assert client.get("/first").body == b"/first"
    client.send(request("GET", "/second") + opening() + text("third"))
    assert client.read_response().body == b"/second"
    assert client.read_head().status == 101
    assert client.read_text() == "third"


def test_the_scope(serve: Serve, connect: ConnectWebSocket, parser: str) -> None:
    seen = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.set(dict(scope))
        await echo(scope, receive, send)

    server = serve(app, http=parser, root_path="/mount")
    client = connect(server)
    client.open("/a%20b?x=1", "Sec-WebSocket-Protocol: one, two", "Sec-WebSocket-Protocol: three", "X-Extra: 1")
    scope: dict[str, Any] = seen.get()
    assert scope["type"] == "websocket"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
    assert scope["http_version"] == "1.1"
    assert scope["scheme"] == "ws"
    assert (scope["path"], scope["raw_path"], scope["root_path"]) == ("/mount/a b", b"/mount/a%20b", "/mount")
    assert scope["query_string"] == b"x=1"
    assert scope["subprotocols"] == ["one", "two", "three"]
    assert (b"x-extra", b"1") in scope["headers"]
    assert scope["server"] == (server.host, server.port)
    assert scope["client"] == client.socket.getsockname()
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert list(scope["state"]) == ["threadserve_stopping"]
    assert "method" not in scope


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(without("sec-websocket-key"), 400, id="no key"),
        pytest.param(without("sec-websocket-key", "Sec-WebSocket-Key: c2hvcnQ="), 400, id="short key"),
        pytest.param(opening("/", f"Sec-WebSocket-Key: {KEY}"), 400, id="two keys"),
        pytest.param(opening().replace(KEY.encode(), b"!" * 24), 400, id="no base64"),
        pytest.param(without("sec-websocket-version"), 426, id="no version"),
        pytest.param(opening().replace(b"Version: 13", b"Version: 8"), 426, id="old version"),
    ],
)
def test_what_is_no_handshake_is_refused(
    serve: Serve, connect: ConnectWebSocket, parser: str, data: bytes, status: int
) -> None:
    server = serve(either, http=parser, limit_concurrency=1)
    client = connect(server)
    client.send(data)
    response = client.read_response()
    assert response.status == status
    assert response.says_close
    assert response.header("sec-websocket-version") == (b"13" if status == 426 else None)
    assert client.is_closed()
    assert connect(server).get().status == 200


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(without("connection"), id="no connection option"),
        pytest.param(without("upgrade"), id="no upgrade"),
        pytest.param(opening().replace(b"Upgrade: websocket", b"Upgrade: h2c"), id="another protocol"),
        pytest.param(opening().replace(b"HTTP/1.1", b"HTTP/1.0"), id="HTTP/1.0"),
        pytest.param(opening().replace(b"GET", b"POST"), id="no GET"),
        pytest.param(opening("/", "Content-Length: 2") + b"hi", id="with a body"),
        pytest.param(opening("/", "Transfer-Encoding: chunked") + b"0\r\n\r\n", id="with chunks"),
    ],
)
def test_what_asks_for_no_websocket_is_an_ordinary_request(
    serve: Serve, connect: ConnectWebSocket, parser: str, data: bytes
) -> None:
    client = connect(serve(either, http=parser))
    client.send(data)
    assert client.read_response().body == b"/"


def test_another_upgrade_may_have_a_body_and_a_successor(serve: Serve, connect: ConnectWebSocket, parser: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["method"].encode() + body})

    client = connect(serve(app, http=parser))
    fields = ("Connection: Upgrade", "Upgrade: other")
    client.send(request("POST", "/", *fields, "Content-Length: 2", body=b"hi"))
    assert client.read_response().body == b"POSThi"
    client.send(request("GET", "/", *fields) + request("POST", "/", "Content-Length: 3", body=b"you"))
    assert [client.read_response().body, client.read_response().body] == [b"GET", b"POSTyou"]


@pytest.mark.parametrize("fields", ["upgrade: WebSocket", "Upgrade: other, websocket"])
def test_upgrade_is_a_list_without_regard_to_case(serve: Serve, connect: ConnectWebSocket, fields: str) -> None:
    client = connect(serve(echo))
    client.send(
        opening().replace(b"Upgrade: websocket", fields.encode()).replace(b": Upgrade", b": keep-alive, upgrade")
    )
    assert client.read_head().status == 101


def test_ws_none_serves_requests_only(serve: Serve, connect: ConnectWebSocket, parser: str) -> None:
    client = connect(serve(either, http=parser, ws="none"))
    client.send(opening("/plain"))
    assert client.read_response().body == b"/plain"


def test_the_concurrency_limit_counts_websockets(serve: Serve, connect: ConnectWebSocket) -> None:
    server = serve(either, limit_concurrency=1)
    first = connect(server)
    first.open()
    second = connect(server)
    second.send(opening())
    assert second.read_response().status == 503
    first.send(b"\x88\x80\0\0\0\0")
    assert first.read_close() == (1005, "")
    assert first.is_closed()
    connect(server).open()


def test_proxy_headers_tell_the_scheme_and_the_client(serve: Serve, connect: ConnectWebSocket) -> None:
    seen = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.set((scope["scheme"], scope["client"][0]))
        await echo(scope, receive, send)

    connect(serve(app)).open("/", "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.7")
    assert seen.get() == ("wss", "192.0.2.7")
