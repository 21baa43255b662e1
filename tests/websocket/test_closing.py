"""Ends of a WebSocket: by the client, by the app, by the server, by accident, and by two sides at once."""

import asyncio
import socket
import time
from contextlib import suppress
from typing import Any

import pytest
from support.apps import Gate, Outcome
from support.bounds import give_bounds
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.waiting import DEADLINE, wait_until
from support.websocket_client import CLOSE, PING, ConnectWebSocket, close, echo, frame, opening, text
from wsproto.frame_protocol import CloseReason

from threadserve.errors import ClientDisconnected
from threadserve.types import Receive, Scope, Send


class Told:
    """An app that accepts and notes what ends it."""

    def __init__(self) -> None:
        self.end = Outcome()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        self.end.set((message["code"], message["reason"]))


def sending(*messages: dict[str, Any]) -> Any:
    """An app that accepts, sends messages, and returns when it is told to."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for message in messages:
            await send(message)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    return app


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (close(1000, "bye"), (1000, "bye")),
        (close(1001), (1001, "")),
        (close(3000, "x" * 123), (3000, "x" * 123)),
        (close(4999), (4999, "")),
        (frame(CLOSE), (1005, "")),
    ],
)
def test_the_client_closes(
    serve: Serve, connect: ConnectWebSocket, loop: str, data: bytes, told: tuple[int, str]
) -> None:
    app = Told()
    client = connect(serve(app, loop=loop))
    client.open(behind=text("last"))
    assert client.read_text() == "last"
    client.send(data + text("ignored"))
    assert client.read_close() == told
    assert client.is_closed()
    assert app.end.get() == told


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({}, (1000, "")),
        ({"code": 4001, "reason": "because"}, (4001, "because")),
        ({"code": 3000, "reason": None}, (3000, "")),
        ({"reason": "ü" * 100}, (1000, "ü" * 61)),
        ({"code": None, "reason": None}, (1000, "")),
        ({"code": CloseReason.GOING_AWAY}, (1001, "")),
        ({"code": 4001.0}, (4001, "")),
        ({"code": 1005}, (1005, "")),
        ({"code": 1006}, (1005, "")),
    ],
)
def test_the_app_closes(
    serve: Serve, connect: ConnectWebSocket, loop: str, message: dict[str, Any], expected: tuple[int, str]
) -> None:
    client = connect(serve(sending({"type": "websocket.close", **message}), loop=loop))
    client.open()
    assert client.read_close() == expected
    assert client.is_silent(0.05)
    client.send(text("dropped") + frame(PING) + close(1000))
    assert client.is_closed()


def test_the_app_returns_without_closing(serve: Serve, connect: ConnectWebSocket) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    client = connect(serve(app))
    client.open()
    assert client.read_close() == (1000, "")


@pytest.mark.parametrize("error", [LookupError, GeneratorExit])
def test_the_app_raises(
    serve: Serve, connect: ConnectWebSocket, error_log: ErrorLog, error: type[BaseException]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        raise error("nothing there")

    client = connect(serve(app))
    client.open()
    assert client.read_close() == (1011, "")
    error_log.expect(error, "nothing there")
    client.send(close(1011))
    assert client.is_closed()


@pytest.mark.parametrize("how", ["reset", "close", "half_close"])
def test_a_client_that_goes_without_a_word(serve: Serve, connect: ConnectWebSocket, loop: str, how: str) -> None:
    app = Told()
    client = connect(serve(app, loop=loop))
    client.open()
    getattr(client, how)()
    assert app.end.get() == (1006, "")


def test_a_client_that_goes_before_it_is_accepted(serve: Serve, connect: ConnectWebSocket) -> None:
    seen = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        messages = [await receive(), await receive()]
        await send({"type": "websocket.accept"})
        seen.set([*messages, await receive()])

    client = connect(serve(app))
    client.send(opening())
    client.close()
    farewell = {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    assert seen.get() == [{"type": "websocket.connect"}, farewell, farewell]


def test_sending_to_a_client_that_has_gone(serve: Serve, connect: ConnectWebSocket) -> None:
    seen = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.close"})
        try:
            await send({"type": "websocket.send", "text": "too late"})
        except OSError as error:
            seen.set(error)
            raise

    client = connect(serve(app))
    client.open()
    client.send(close(1000))
    assert isinstance(seen.get(), ClientDisconnected)


def test_messages_that_came_before_the_end_are_not_lost(serve: Serve, connect: ConnectWebSocket) -> None:
    gate, seen = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await gate.wait()
        seen.set([await receive() for _ in range(3)])

    client = connect(serve(app))
    client.open()
    client.send(text("one") + text("two") + close(1001, "off"))
    assert client.read_close() == (1001, "off")
    gate.open()
    assert [message.get("text") for message in seen.get()] == ["one", "two", None]


def test_both_sides_close_at_once(serve: Serve, connect: ConnectWebSocket) -> None:
    gate, seen = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await gate.wait()
        with suppress(ClientDisconnected):
            await send({"type": "websocket.close", "code": 4000})
        seen.set(await receive())

    client = connect(serve(app))
    client.open()
    gate.open()
    client.send(close(4001))
    assert client.read_close()[0] in (4000, 4001)
    assert client.is_closed()
    assert seen.get()["code"] in (4000, 4001)


def test_a_client_that_does_not_answer_a_close_is_given_up(
    serve: Serve, connect: ConnectWebSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, close_seconds=0.1)
    client = connect(serve(sending({"type": "websocket.close"})))
    client.open()
    assert client.read_close() == (1000, "")
    client.send(text("but I go on"))
    # It is reset where the server has not read those words by then.
    with suppress(ConnectionResetError):
        assert client.is_closed()


def test_a_client_that_stays_after_a_fault_is_given_up(
    serve: Serve, connect: ConnectWebSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, linger_seconds=0.1)
    server = serve(Told())
    client = connect(server)
    client.open()
    client.send(frame(3))
    assert client.read_close()[0] == 1002
    assert client.is_closed()

    def is_refused() -> bool:
        try:
            client.send(text("but I go on"))
        except OSError:
            return True
        return False

    wait_until(is_refused, "the server to give the client up")


def test_a_client_that_is_slow_to_take_what_is_left_gets_its_time(
    serve: Serve, connect: ConnectWebSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, tick_seconds=0.02, close_seconds=3.0)
    size = 30_000_000

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": b"x" * size})

    client = connect(serve(app), receive_buffer=65536)
    client.open()
    begin = time.monotonic()
    while len(client.reader.buffer) < size and time.monotonic() - begin < 4:
        client.reader.fill()
        time.sleep(0.01)
    assert client.read_frame() == (0x82, b"x" * size)
    assert client.read_close() == (1000, "")


@pytest.mark.parametrize("begun_frame", [b"", text("unfinished")[:5]], ids=["idle", "amid a frame"])
def test_shutdown_closes_with_1012(serve: Serve, connect: ConnectWebSocket, loop: str, begun_frame: bytes) -> None:
    app = Told()
    server = serve(app, loop=loop)
    client = connect(server)
    client.open(behind=text("x"))
    assert client.read_text() == "x"
    client.send(begun_frame)
    server.server.should_exit = True
    assert client.read_close() == (1012, "")
    assert app.end.get() == (1012, "")
    client.send(text("unfinished")[len(begun_frame) :] + close(1012))
    assert client.is_closed()
    server.thread.join(DEADLINE)
    assert not server.thread.is_alive()


def test_an_app_that_does_not_end_is_cut_off(serve: Serve, connect: ConnectWebSocket, error_log: ErrorLog) -> None:
    cancelled = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    server = serve(app, timeout_graceful_shutdown=0.1)
    client = connect(server)
    client.open()
    server.server.should_exit = True
    assert client.read_close() == (1012, "")
    client.send(close(1012))
    cancelled.get()
    error_log.expect(text="Cut off 1 request")


def test_a_handshake_that_the_shutdown_finds_is_answered_and_then_closed(
    serve: Serve, connect: ConnectWebSocket
) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await echo(scope, receive, send)

    server = serve(app)
    client = connect(server)
    client.send(opening())
    gate.wait_for_arrivals()
    server.server.should_exit = True
    wait_until(lambda: is_closed_to(server), "the listener to close")
    gate.open()
    assert client.read_head().status == 101
    assert client.read_close() == (1012, "")


def is_closed_to(server: Any) -> bool:
    """Whether a server refuses connections."""
    try:
        socket.create_connection((server.host, server.port), 1).close()
    except OSError:
        return True
    return False
