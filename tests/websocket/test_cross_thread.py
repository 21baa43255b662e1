"""`send` awaited on another thread than the connection's: order, errors, back-pressure, cancellation, and the end."""

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.apps import Outcome
from support.embedded_server import EmbeddedServer, Serve
from support.error_log import ErrorLog
from support.raw_client import request
from support.waiting import DEADLINE, wait_until
from support.websocket_client import ConnectWebSocket, WebSocketClient, close, opening, text

from threadserve.errors import ClientDisconnected
from threadserve.types import Receive, Scope, Send

THREADS = 4


class Room:
    """An app that keeps the `send` of everybody in a plain list, and notes which thread each runs on."""

    def __init__(self) -> None:
        self.sends: list[Send] = []
        self.threads: set[int] = set()
        self.errors: list[BaseException] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.sends.append(send)
        self.threads.add(threading.get_ident())
        await send({"type": "websocket.send", "text": "in"})
        try:
            while (message := await receive())["type"] == "websocket.receive":
                for other in list(self.sends):
                    await self.say(other, message["text"])
        finally:
            self.sends.remove(send)

    async def say(self, send: Send, words: str) -> None:
        """Sends to one, who may be gone."""
        try:
            await send({"type": "websocket.send", "text": words})
        except OSError as error:
            self.errors.append(error)


class OtherLoop:
    """An event loop on a thread that the server knows nothing of."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.futures: list[concurrent.futures.Future[Any]] = []
        self.thread.start()

    def submit(self, coroutine: Any) -> concurrent.futures.Future[Any]:
        """Starts a coroutine there."""
        self.futures.append(asyncio.run_coroutine_threadsafe(coroutine, self.loop))
        return self.futures[-1]

    def run(self, coroutine: Any) -> Any:
        """Runs a coroutine there."""
        return self.submit(coroutine).result(DEADLINE)

    def close(self) -> None:
        """Ends the loop when all that was started there has ended."""
        concurrent.futures.wait(self.futures, DEADLINE)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(DEADLINE)
        self.loop.close()


@pytest.fixture
def other() -> Iterator[OtherLoop]:
    """Another loop, closed at the end."""
    other = OtherLoop()
    yield other
    other.close()


class Held:
    """An app for one connection that gives its `send` away; `told` is what it is told at last."""

    def __init__(self) -> None:
        self.given = Outcome()
        self.told = Outcome()
        self.loop: asyncio.AbstractEventLoop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.loop = asyncio.get_running_loop()
        await receive()
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        self.given.set(send)
        self.told.set(await receive())


def have_turns(*loops: asyncio.AbstractEventLoop) -> None:
    """Waits until each of these loops has had some turns, so that what stands still is not for want of them."""
    for _ in range(5):
        for loop in loops:
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.001), loop).result(DEADLINE)


@pytest.fixture
def held() -> Held:
    """The app under test."""
    return Held()


@pytest.fixture
def server(serve: Serve, held: Held) -> EmbeddedServer:
    """Serves it."""
    return serve(held)


def message(words: str) -> dict[str, Any]:
    """A message to send."""
    return {"type": "websocket.send", "text": words}


def test_everybody_hears_everybody_in_order(serve: Serve, connect: ConnectWebSocket) -> None:
    room = Room()
    server = serve(room, threads=THREADS, app_instance="shared", distribute="round-robin")
    clients: list[WebSocketClient] = []
    # A thread that is slow to take up its connections leaves them to others.
    while len(clients) < 8 or len(room.threads) == 1:
        assert len(clients) < 100
        time.sleep(0.1 if len(clients) >= 8 else 0)
        clients.append(connect(server))
        clients[-1].open()
        assert clients[-1].read_text() == "in"
    count = 320 // len(clients)
    heard: list[list[str]] = [[] for _ in clients]

    def listen(number: int) -> None:
        heard[number] = [clients[number].read_text() for _ in range(count * len(clients))]

    listeners = [threading.Thread(target=listen, args=(number,)) for number in range(len(clients))]
    for listener in listeners:
        listener.start()
    for number in range(count):
        for name, client in enumerate(clients):
            client.send(text(f"{name} {number}"))
    for listener in listeners:
        listener.join(3 * DEADLINE)
    for texts in heard:
        for name in range(len(clients)):
            own = [words for words in texts if words.startswith(f"{name} ")]
            assert own == [f"{name} {number}" for number in range(count)]
    assert room.errors == []


class Foreign(dict[str, Any]):
    """A message that stands for one of another thread."""

    def get(self, *args: Any) -> Any:
        """What free-threaded 3.13 is slow at, and on a busy system very slow."""
        raise AssertionError("`get` on a dict of another thread")


def test_messages_are_read_as_the_own_threads(
    server: EmbeddedServer, connect: ConnectWebSocket, held: Held, other: OtherLoop
) -> None:
    client = connect(server)
    client.open()
    send = held.given.get()
    other.run(send(Foreign(message("text"))))
    assert client.read_text() == "text"
    other.run(send(Foreign(type="websocket.close", code=4000, reason="bye")))
    assert client.read_close() == (4000, "bye")


def test_a_thousand_messages_a_second_from_another_thread(
    server: EmbeddedServer, connect: ConnectWebSocket, held: Held, other: OtherLoop
) -> None:
    count = 3000

    async def talk(send: Send) -> None:
        begin = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, begin + number / 1000 - time.monotonic()) if number % 20 == 0 else 0)
            await send(message(str(number)))

    client = connect(server)
    client.open()
    talking = other.submit(talk(held.given.get()))
    assert [client.read_text() for _ in range(count)] == [str(number) for number in range(count)]
    talking.result(DEADLINE)


def test_sends_that_are_not_awaited_one_by_one_keep_their_order_too(
    server: EmbeddedServer, connect: ConnectWebSocket, held: Held, other: OtherLoop
) -> None:
    async def talk(send: Send) -> None:
        await asyncio.gather(*(send(message(str(number))) for number in range(200)))

    client = connect(server)
    client.open()
    other.run(talk(held.given.get()))
    assert [client.read_text() for _ in range(200)] == [str(number) for number in range(200)]


def test_errors_come_back(server: EmbeddedServer, connect: ConnectWebSocket, held: Held, other: OtherLoop) -> None:
    client = connect(server)
    client.open()
    send = held.given.get()
    with pytest.raises(RuntimeError, match="accept"):
        other.run(send({"type": "websocket.accept"}))
    with pytest.raises(TypeError):
        other.run(send({"type": "websocket.send"}))
    client.send(close(1000))
    held.told.get()
    with pytest.raises(ClientDisconnected):
        other.run(send(message("too late")))


def test_back_pressure_and_cancellation(
    server: EmbeddedServer, connect: ConnectWebSocket, held: Held, other: OtherLoop
) -> None:
    sent = [0]

    async def flood(send: Send) -> None:
        while True:
            await send({"type": "websocket.send", "bytes": b"x" * 50_000})
            sent[0] += 1

    async def try_to_send(send: Send) -> bool:
        try:
            async with asyncio.timeout(0.1):
                await send(message("never"))
        except TimeoutError:
            return False
        return True

    client = connect(server, receive_buffer=4096)
    client.open()
    send = held.given.get()
    flooding = other.submit(flood(send))

    def is_steady() -> bool:
        before = sent[0]
        time.sleep(0.3)
        have_turns(held.loop, other.loop)
        return before == sent[0] > 0

    wait_until(is_steady, "the sender to wait")
    assert sent[0] < 200
    flooding.cancel()
    assert not any(other.run(try_to_send(send)) for _ in range(3))
    before = sent[0]
    frames = [client.read_frame() for _ in range(before)]
    assert all(len(got.payload) == 50_000 for got in frames)
    other.run(send(message("after")))
    while (got := client.read_frame()).payload != b"after":
        assert len(got.payload) == 50_000


def test_a_loop_that_has_ended_lets_nobody_wait(serve: Serve, connect: ConnectWebSocket, other: OtherLoop) -> None:
    held = Held()
    server = serve(held)
    client = connect(server)
    client.open()
    send = held.given.get()

    async def flood() -> None:
        while True:
            await send({"type": "websocket.send", "bytes": b"x" * 50_000})

    flooding = other.submit(flood())
    server.server.should_exit = True
    client.send(close(1000))
    with pytest.raises(ClientDisconnected):
        flooding.result(DEADLINE)
    client.close()
    server.thread.join(DEADLINE)
    with pytest.raises(ClientDisconnected):
        other.run(send(message("nobody is there")))


def test_a_loop_that_is_cut_off_lets_nobody_wait(
    serve: Serve, connect: ConnectWebSocket, error_log: ErrorLog, other: OtherLoop
) -> None:
    held = Held()
    server = serve(held)
    client = connect(server, receive_buffer=4096)
    client.open()
    send = held.given.get()
    stuck = other.submit(send({"type": "websocket.send", "bytes": b"x" * 20_000_000}))
    stuck.result(DEADLINE)
    waiting = other.submit(send(message("behind")))
    server.server.should_exit = True
    server.server.force_exit = True
    with pytest.raises(ClientDisconnected):
        waiting.result(DEADLINE)
    error_log.expect(text="Cut off 1 request at once: WebSocket /")


def test_a_caller_whose_loop_is_gone_harms_nobody(
    server: EmbeddedServer, connect: ConnectWebSocket, held: Held
) -> None:
    client = connect(server, receive_buffer=4096)
    client.open()
    send = held.given.get()

    async def give_up() -> None:
        await send({"type": "websocket.send", "bytes": b"x" * 20_000_000})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send(message("behind")), 0.1)

    asyncio.run(give_up())
    assert len(client.read_frame().payload) == 20_000_000
    client.send(close(1000))
    assert held.told.get()["code"] == 1000


def test_an_accept_from_another_thread(serve: Serve, connect: ConnectWebSocket, other: OtherLoop) -> None:
    has_ended = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.wrap_future(other.submit(send({"type": "websocket.accept"})))
        await asyncio.wrap_future(other.submit(send({"type": "websocket.close", "code": 4000})))
        has_ended.set()

    client = connect(serve(app))
    client.open()
    assert client.read_close() == (4000, "")
    # The close is taken where `send` is called, before the other loop is given what it returns.
    assert has_ended.wait(DEADLINE)


@pytest.mark.parametrize("parser", ["h11", "httptools"])
def test_a_response_is_streamed_from_another_thread(
    serve: Serve, connect: ConnectWebSocket, other: OtherLoop, parser: str
) -> None:
    held = Held()
    client = connect(serve(held, http=parser))
    client.send(request("GET", "/events"))
    send = held.given.get()

    async def stream() -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number in range(50):
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
        await send({"type": "http.response.body"})

    other.run(stream())
    assert client.read_response().body == b"".join(b"data: %d\n\n" % number for number in range(50))
    with pytest.raises(RuntimeError):
        other.run(send({"type": "http.response.body"}))


def test_a_denial_from_another_thread(serve: Serve, connect: ConnectWebSocket, other: OtherLoop) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for kind in ({"type": "websocket.http.response.start", "status": 404, "headers": []},
                     {"type": "websocket.http.response.body", "body": b"no"}):  # fmt: skip
            await asyncio.wrap_future(other.submit(send(kind)))

    client = connect(serve(app))
    client.send(opening())
    assert client.read_response().body == b"no"
