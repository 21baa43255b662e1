"""Back-pressure and pings: clients that are slow, greedy or silent cost bounded memory, and apps may be slow too."""

import asyncio
import time
from contextlib import suppress
from typing import Any, cast

import pytest
from support.apps import Gate, Outcome
from support.bounds import give_bounds
from support.embedded_server import Serve
from support.waiting import DEADLINE, wait_until
from support.websocket_client import BINARY, PING, PONG, ConnectWebSocket, close, echo, frame, text

from threadserve.errors import ClientDisconnected
from threadserve.types import Receive, Scope, Send

BUFFERS = 8 * 1024 * 1024


@pytest.fixture
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines are looked at often."""
    give_bounds(monkeypatch, tick_seconds=0.02)


def test_a_queue_that_is_full_stops_the_reading(serve: Serve, connect: ConnectWebSocket, loop: str) -> None:
    gate, seen = Gate(), Outcome()
    count, size = 400, 100_000

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await gate.wait()
        seen.set([len((await receive())["bytes"]) for _ in range(count)])

    client = connect(serve(app, loop=loop, ws_max_queue=3))
    client.open()
    data = frame(BINARY, b"x" * size)
    taken = client.send_while_taken(data, count * len(data), 0.5)
    assert taken < 3 * size + BUFFERS
    gate.open()
    position = taken
    while position < count * len(data):
        piece = data[position % len(data) :]
        client.send(piece)
        position += len(piece)
    assert seen.get() == [size] * count


@pytest.mark.parametrize("queue", [1, 2, 7])
def test_small_messages_wait_their_turn(serve: Serve, connect: ConnectWebSocket, queue: int) -> None:
    client = connect(serve(echo, ws_max_queue=queue))
    client.open(behind=b"".join(text(str(number)) for number in range(500)))
    assert [client.read_text() for _ in range(500)] == [str(number) for number in range(500)]
    client.send(close(1000))
    assert client.read_close() == (1000, "")


def test_send_waits_for_a_client_that_does_not_read(serve: Serve, connect: ConnectWebSocket, loop: str) -> None:
    sent, told = [0], Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 50_000})
                sent[0] += 1
        except OSError as error:
            told.set(error)

    client = connect(serve(app, loop=loop), receive_buffer=4096)
    client.open()
    wait_until(lambda: is_steady(sent), "the app to wait")
    assert sent[0] * 50_000 < BUFFERS
    before = sent[0]
    for _ in range(before + 5):
        assert len(client.read_frame().payload) == 50_000
    wait_until(lambda: sent[0] > before, "the app to go on")
    client.reset()
    assert isinstance(told.get(), ClientDisconnected)


def is_steady(number: list[int]) -> bool:
    """Whether a number stays what it is for a moment."""
    before = number[0]
    time.sleep(0.3)
    return before == number[0] > 0


def test_pongs_for_a_client_that_does_not_read_do_not_pile_up(serve: Serve, connect: ConnectWebSocket) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": b"x" * 20_000_000})
        await echo(scope, receive, send)

    client = connect(serve(app))
    client.open()
    client.send(b"".join(frame(PING, b"%d" % number) for number in range(10_000)))
    assert len(client.read_frame().payload) == 20_000_000
    assert client.read_frame() == (0x80 | PONG, b"9999")


def test_pings_go_on_when_they_are_answered(serve: Serve, connect: ConnectWebSocket, quick_ticks: None) -> None:
    client = connect(serve(echo, ws_ping_interval=0.05, ws_ping_timeout=60))
    client.open()
    payloads = set()
    for _ in range(6):
        # None comes while another is unanswered.
        got = client.read_frame()
        assert got.opcode == PING
        payloads.add(got.payload)
        client.send(frame(PONG, b"unasked") + frame(PONG, got.payload))
    assert len(payloads) == 6


def test_pings_are_to_be_answered(serve: Serve, connect: ConnectWebSocket, quick_ticks: None) -> None:
    ended = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        ended.set(await receive())

    client = connect(serve(app, ws_ping_interval=0.05, ws_ping_timeout=0.3))
    client.open()
    silent = client.read_frame()
    assert silent.opcode == PING
    client.send(frame(PONG, b"wrong"))
    assert client.read_close() == (1011, "keepalive ping timeout")
    assert client.is_closed()
    assert ended.get() == {"type": "websocket.disconnect", "code": 1006, "reason": "keepalive ping timeout"}


@pytest.mark.parametrize("timeout", [0, None])
def test_pings_without_a_timeout(
    serve: Serve, connect: ConnectWebSocket, quick_ticks: None, timeout: float | None
) -> None:
    client = connect(serve(echo, ws_ping_interval=0.05, ws_ping_timeout=timeout))
    client.open()
    payloads = {client.read_frame().payload for _ in range(4)}
    assert len(payloads) == 4
    client.send(text("alive"))
    while (got := client.read_frame()).opcode == PING:
        pass
    assert got.payload == b"alive"


def test_no_pings(serve: Serve, connect: ConnectWebSocket, quick_ticks: None) -> None:
    client = connect(serve(echo, ws_ping_interval=0, ws_ping_timeout=0.05))
    client.open()
    assert client.is_silent(0.3)


def test_a_slow_app_is_no_silent_client(serve: Serve, connect: ConnectWebSocket, quick_ticks: None) -> None:
    gate, seen = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await gate.wait()
        seen.set([(await receive()).get("text") for _ in range(3)])

    client = connect(serve(app, ws_max_queue=1, ws_ping_interval=0.05, ws_ping_timeout=0.1))
    client.open(behind=text("1") + text("2"))
    ping = client.read_frame()
    assert ping.opcode == PING
    client.send(frame(PONG, ping.payload) + text("3"))
    assert client.is_silent(0.5)
    gate.open()
    assert seen.get() == ["1", "2", "3"]


def test_a_pong_that_is_read_late_is_not_too_late(serve: Serve, connect: ConnectWebSocket, quick_ticks: None) -> None:
    """It has waited behind messages that the application took late."""
    gate, seen = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await gate.wait()
        [loop] = cast("Any", server.server)._server_run._acceptor.loops
        deadlines, registry = loop._context.deadlines, loop._context.registry
        [connection] = registry.connections
        # It is up in this very turn of the loop, between the first message and whatever is behind it.
        connection.deadline = deadlines.now
        first = await receive()
        registry.sweep(deadlines.now)
        seen.set([first.get("text"), (await receive()).get("text")])

    server = serve(app, ws_max_queue=1, ws_ping_interval=0.05, ws_ping_timeout=DEADLINE)
    client = connect(server)
    client.open(behind=text("1"))
    ping = client.read_frame()
    assert ping.opcode == PING
    client.send(frame(PONG, ping.payload) + text("2"))
    gate.open()
    assert seen.get() == ["1", "2"]


def test_a_client_that_never_reads_is_given_up(
    serve: Serve, connect: ConnectWebSocket, quick_ticks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, linger_seconds=0.1)
    told = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 100_000})
        except OSError:
            told.set(await receive())

    server = serve(app, ws_ping_interval=0.1, ws_ping_timeout=0.2)
    client = connect(server, receive_buffer=4096)
    client.open()
    assert told.get()["code"] == 1006


def test_receives_that_are_cancelled_lose_no_message(serve: Serve, connect: ConnectWebSocket) -> None:
    count, seen = 200, Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        texts: list[str] = []

        async def take() -> None:
            while len(texts) < count:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.0005):
                        message = await receive()
                        if message["type"] == "websocket.disconnect":
                            return
                        texts.append(message["text"])

        one, two = asyncio.create_task(take()), asyncio.create_task(take())
        await asyncio.wait({one, two}, return_when=asyncio.FIRST_COMPLETED)
        seen.set(texts)

    client = connect(serve(app))
    client.open()
    for number in range(count):
        client.send(text(str(number)))
        time.sleep(0.0005)
    assert sorted(map(int, seen.get())) == list(range(count))
