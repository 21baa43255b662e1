"""Handshakes that the app turns down, by closing, by a response of its own, by an error, or by doing nothing."""

import logging
from http import HTTPStatus
from typing import Any

import pytest
from support.apps import Gate, Outcome
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.websocket_client import ConnectWebSocket, echo, opening, text

from threadserve.types import Receive, Scope, Send

START = "websocket.http.response.start"
BODY = "websocket.http.response.body"


def sending(*messages: dict[str, Any]) -> Any:
    """An app that sends these messages, whatever comes, and leaves what it is told at the end as `app.end`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            await send(message)
        end.set(await receive())

    end = Outcome()
    app.end = end  # type: ignore[attr-defined]
    return app


def test_closing_before_accepting_is_403(serve: Serve, connect: ConnectWebSocket, parser: str) -> None:
    app = sending({"type": "websocket.close"})
    client = connect(serve(app, http=parser))
    client.send(opening() + text("early"))
    response = client.read_response()
    assert (response.status, response.body) == (403, b"")
    assert response.says_close
    assert client.is_closed()
    assert app.end.get() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


def test_a_response_of_the_app(serve: Serve, connect: ConnectWebSocket, parser: str) -> None:
    start = {"type": START, "status": 401, "headers": [(b"www-authenticate", b"Basic"), (b"x-a", b"1")]}
    app = sending(start, {"type": BODY, "body": b"no "}, {"type": BODY})
    app = sending(start, {"type": BODY, "body": b"no ", "more_body": True}, {"type": BODY, "body": b"entry"})
    client = connect(serve(app, http=parser))
    client.send(opening())
    response = client.read_response()
    assert (response.status, response.body) == (401, b"no entry")
    assert response.header("www-authenticate") == b"Basic"
    assert response.header("server") == b"threadserve"
    assert client.is_closed()
    assert app.end.get()["type"] == "websocket.disconnect"


def test_head_of_a_response_whose_body_is_late_goes_ahead_of_it(
    serve: Serve, connect: ConnectWebSocket, parser: str
) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": START, "status": 401, "headers": []})
        await gate.wait()
        await send({"type": BODY, "body": b"no entry"})

    client = connect(serve(app, http=parser))
    client.send(opening())
    head = client.reader.head()
    gate.open()
    client.reader.read_body(head, "GET")
    assert (head.status, head.body) == (401, b"no entry")


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([{"type": "websocket.send", "text": "too early"}], RuntimeError),
        ([{"type": BODY, "body": b"no start"}], RuntimeError),
        ([{"type": START, "status": 1000, "headers": []}], ValueError),
        ([{"type": START, "status": 400, "headers": [(b"bad name", b"")]}], ValueError),
        ([{"type": "websocket.accept", "headers": [(b"x", b"a\r\nb: c")]}], ValueError),
        ([{"type": "websocket.accept", "headers": [(b"Sec-WebSocket-Accept", b"x")]}], ValueError),
        ([{"type": "websocket.accept", "headers": [(b"Transfer-Encoding", b"chunked")]}], ValueError),
        ([{"type": "websocket.accept", "subprotocol": "a\r\nb"}], ValueError),
        ([{"type": "websocket.accept", "headers": [("x-text", b"")]}], TypeError),
        ([{"type": START, "status": True}], ValueError),
        ([{"type": START}], KeyError),
        ([{"type": "websocket.nonsense"}], RuntimeError),
    ],
)
def test_what_may_not_be_sent_is_an_error_and_500(
    serve: Serve,
    connect: ConnectWebSocket,
    error_log: ErrorLog,
    messages: list[dict[str, Any]],
    error: type[Exception],
) -> None:
    client = connect(serve(sending(*messages)))
    client.send(opening())
    response = client.read_response()
    assert (response.status, response.body) == (500, b"Internal Server Error")
    assert client.is_closed()
    error_log.expect(error)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "websocket.accept"},
        {"type": START, "status": 200},
        {"type": "websocket.send"},
        {"type": "websocket.send", "text": None, "bytes": None},
        {"type": "websocket.send", "bytes": "text"},
        {"type": "websocket.send", "text": "\ud800"},
        {"type": "websocket.close", "code": 99},
        {"type": "websocket.close", "code": 1004},
        {"type": "websocket.close", "code": "1000"},
        {"type": "websocket.close", "code": True},
        {"type": "websocket.close", "reason": b"bytes"},
    ],
)
def test_what_may_not_be_sent_after_accepting_ends_with_1011(
    serve: Serve, connect: ConnectWebSocket, error_log: ErrorLog, message: dict[str, Any]
) -> None:
    client = connect(serve(sending({"type": "websocket.accept"}, message)))
    client.open()
    assert client.read_close() == (1011, "")
    error_log.expect()


@pytest.mark.parametrize("kind", ["websocket.send", "websocket.close", "websocket.accept"])
def test_nothing_may_be_sent_after_closing(
    serve: Serve, connect: ConnectWebSocket, error_log: ErrorLog, kind: str
) -> None:
    app = sending({"type": "websocket.accept"}, {"type": "websocket.close"}, {"type": kind, "text": "x"})
    client = connect(serve(app))
    client.open()
    assert client.read_close() == (1000, "")
    error_log.expect(RuntimeError, "closed")


@pytest.mark.parametrize("messages", [[], [{"type": START, "status": 400, "headers": []}]])
def test_an_app_that_leaves_the_handshake_unfinished(
    serve: Serve, connect: ConnectWebSocket, error_log: ErrorLog, messages: list[dict[str, Any]]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    client = connect(serve(app))
    client.send(opening())
    assert client.read_response().status == 500
    error_log.expect(text="without completing the handshake")


@pytest.mark.parametrize("status", [HTTPStatus.CONFLICT, 409.0], ids=repr)
def test_a_response_of_values_of_other_classes(
    serve: Serve, connect: ConnectWebSocket, caplog: pytest.LogCaptureFixture, parser: str, status: Any
) -> None:
    start = {"type": START, "status": status, "headers": [(bytearray(b"x-a"), memoryview(b"1"))]}
    server = serve(sending(start, {"type": BODY, "body": bytearray(b"no")}), http=parser)
    with caplog.at_level(logging.INFO, "threadserve.error"):
        for _ in range(2):
            client = connect(server)
            client.send(opening())
            response = client.read_response()
            assert (response.status, response.header("x-a"), response.body) == (409, b"1", b"no")
    assert len([message for message in caplog.messages if message.endswith('"WebSocket /" 409')]) == 2


@pytest.mark.parametrize("name", [b"sec-websocket-protocol", b"Sec-WebSocket-Protocol"])
@pytest.mark.parametrize("more", [{}, {"subprotocol": "chat"}, {"subprotocol": ""}], ids=repr)
def test_a_subprotocol_among_the_headers(
    serve: Serve, connect: ConnectWebSocket, name: bytes, more: dict[str, Any]
) -> None:
    app = sending({"type": "websocket.accept", "headers": [[bytearray(name), memoryview(b" chat")]], **more})
    response = connect(serve(app)).open("/", "Sec-WebSocket-Protocol: other, chat")
    assert response.all("sec-websocket-protocol") == [b"chat"]


@pytest.mark.parametrize("fields", [[], ["Sec-WebSocket-Protocol: other, chats"]])
@pytest.mark.parametrize("chosen", [{"subprotocol": "chat"}, {"headers": [(b"sec-websocket-protocol", b"chat")]}])
def test_a_subprotocol_that_is_not_offered(
    serve: Serve, connect: ConnectWebSocket, error_log: ErrorLog, fields: list[str], chosen: dict[str, Any]
) -> None:
    client = connect(serve(sending({"type": "websocket.accept", **chosen})))
    client.send(opening("/", *fields))
    assert client.read_response().status == 500
    error_log.expect(ValueError, "the subprotocol 'chat' is not among those that the client offers")


def test_accepting_with_headers_and_a_subprotocol(serve: Serve, connect: ConnectWebSocket, parser: str) -> None:
    headers = [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"Server", b"mine")]
    app = sending({"type": "websocket.accept", "subprotocol": "chat", "headers": headers})
    client = connect(serve(app, http=parser, headers=[("x-all", "yes")]))
    response = client.open("/", "Sec-WebSocket-Protocol: other, chat")
    assert response.header("sec-websocket-protocol") == b"chat"
    assert response.all("set-cookie") == [b"a=1", b"b=2"]
    assert response.header("server") == b"mine"
    assert response.header("x-all") == b"yes"


@pytest.mark.parametrize(
    ("app", "outcome"),
    [
        (echo, "[accepted]"),
        (sending({"type": "websocket.close"}), "403"),
        (sending({"type": START, "status": 418, "headers": []}, {"type": BODY}), "418"),
    ],
)
def test_the_outcome_is_logged_as_uvicorn_does(
    serve: Serve, connect: ConnectWebSocket, caplog: pytest.LogCaptureFixture, app: Any, outcome: str
) -> None:
    with caplog.at_level(logging.INFO, "threadserve.error"):
        client = connect(serve(app))
        client.send(opening("/a%20b?c=d"))
        client.read_head()
    host, port = client.socket.getsockname()
    assert f'{host}:{port} - "WebSocket /a%20b?c=d" {outcome}' in caplog.messages
