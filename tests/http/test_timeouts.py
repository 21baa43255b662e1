"""Connections that are idle or slow. Every upper bound is generous: one sweep per loop looks at the deadlines."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from support.apps import Gate, Recorder, echo_body, hello, respond
from support.bounds import give_bounds
from support.embedded_server import EmbeddedServer, Serve
from support.raw_client import Connect, post, request
from support.waiting import DEADLINE, wait_until

from threadserve.types import ASGIApp, Receive, Scope, Send

# Long enough for a deadline of 0.1 s that should not have been set, and two sweeps.
LONG = 1.2


class Held:
    """An application whose loop can be held, to be served with its lifespan."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        self.loop = asyncio.get_running_loop()
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    @contextmanager
    def held(self) -> Iterator[None]:
        """What clients send meanwhile comes to the server with their connections, however slow they are."""
        is_held, released = threading.Event(), threading.Event()

        def hold() -> None:
            is_held.set()
            released.wait(DEADLINE)

        self.loop.call_soon_threadsafe(hold)
        assert is_held.wait(DEADLINE)
        try:
            yield
        finally:
            released.set()


def test_slow_head_ends_in_408(serve: Serve, connect: Connect) -> None:
    recorder = Recorder(hello)
    app = Held(recorder)
    server = serve(app, lifespan="on", timeout_request_header=0.3)
    began = time.monotonic()
    with app.held():
        client = connect(server)
        client.send(b"GET / HTTP/1.1\r\nHost: ")
    response = client.read_response()
    assert (response.status, response.reason) == (408, "Request Timeout")
    assert response.header("connection") == b"close"
    assert client.is_closed()
    assert time.monotonic() - began > 0.25
    assert recorder.scopes == []


def test_bytes_that_drip_do_not_put_the_408_off(serve: Serve, connect: Connect) -> None:
    app = Held(hello)
    server = serve(app, lifespan="on", timeout_request_header=0.1)
    with app.held():
        client = connect(server)
        client.send(b"GET / HTTP/1.1\r\nX-Drip: ")
    for _ in range(100):
        client.send(b"x")
        if not client.is_silent(0.05):
            break
    assert client.read_response().status == 408
    assert client.is_closed()


def test_unused_connection_is_closed_silently(serve: Serve, connect: Connect) -> None:
    server = serve(hello, timeout_request_header=0.3)
    began = time.monotonic()
    assert connect(server).read_all() == b""
    assert time.monotonic() - began > 0.25


def test_idle_connections_are_closed_silently(serve: Serve, connect: Connect) -> None:
    """Many that were used once, all in one sweep or two."""
    server = serve(hello, timeout_keep_alive=0.3)
    idle = [connect(server) for _ in range(50)]
    for client in idle:
        began = time.monotonic()
        assert client.get().body == b"/"
    assert [client.read_all() for client in idle] == [b""] * 50
    assert 0.25 < time.monotonic() - began < 5
    assert connect(server).get("/still").body == b"/still"


def test_time_for_which_the_loop_is_blocked_is_nobodys(serve: Serve, connect: Connect) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        time.sleep(LONG)  # noqa: ASYNC251
        await respond(send)

    client = connect(serve(app, timeout_keep_alive=0.3))
    began = time.monotonic()
    assert client.get().status == 200
    assert client.is_closed()
    assert time.monotonic() - began > LONG + 0.25


def test_each_response_begins_the_keep_alive_time_anew(serve: Serve, connect: Connect) -> None:
    """With pauses that are much shorter than that time, for longer than it and two sweeps."""
    client = connect(serve(hello, timeout_keep_alive=2))
    for number in range(9):
        assert client.get(f"/{number}").body == f"/{number}".encode()
        assert client.is_silent(0.4)


def test_head_that_has_begun_has_its_own_time(serve: Serve, connect: Connect) -> None:
    client = connect(serve(hello, timeout_keep_alive=0.1, timeout_request_header=30))
    client.send(request("GET", "/a") + b"GET /slow HTTP/1.1\r\n")
    assert client.read_response().body == b"/a"
    assert client.is_silent(LONG)
    client.send(b"Host: x\r\n\r\n")
    assert client.read_response().body == b"/slow"


def test_time_of_the_head_counts_from_its_first_byte(serve: Serve, connect: Connect) -> None:
    app = Held(hello)
    server = serve(app, lifespan="on", timeout_keep_alive=30, timeout_request_header=0.1)
    with app.held():
        client = connect(server)
        client.send(request("GET", "/a"))
    assert client.read_response().body == b"/a"
    assert client.is_silent(LONG)
    assert client.get("/b").body == b"/b"


def test_whatever_is_slow_after_the_head_is_waited_for(serve: Serve, connect: Connect) -> None:
    """Slow bodies and slow applications, also when the next request waits behind them."""
    gate = Gate()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await gate.wait()
        await echo_body(scope, receive, send)

    app = Held(slow)
    server = serve(app, lifespan="on", timeout_keep_alive=0.1, timeout_request_header=0.1)
    with app.held():
        sized, chunked, waiting, in_a_row = (connect(server) for _ in range(4))
        sized.send(request("POST", "/", "Content-Length: 4"))
        chunked.send(request("POST", "/", "Transfer-Encoding: chunked"))
        waiting.send(request("GET", "/slow"))
        in_a_row.send(request("GET", "/slow") + request("POST", "/next", "Content-Length: 4", body=b"abcd"))
    gate.wait_for_arrivals(2)
    assert sized.is_silent(LONG)
    sized.send(b"abcd")
    chunked.send(b"4\r\nabcd\r\n0\r\n\r\n")
    gate.open()
    assert [client.read_response().body for client in (sized, chunked, waiting)] == [b"abcd", b"abcd", b""]
    assert [in_a_row.read_response().body for _ in range(2)] == [b"", b"abcd"]


def test_slow_reader_is_not_cut_off_by_the_keep_alive_time(serve: Serve, connect: Connect) -> None:
    data = b"x" * 8_000_000

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, data)

    app = Held(large)
    server = serve(app, lifespan="on", timeout_keep_alive=0.1, timeout_request_header=0.1)
    with app.held():
        client = connect(server, receive_buffer=65536)
        client.send(request())
    assert client.reader.head().status == 200
    time.sleep(LONG)
    assert client.reader.take(len(data)) == data


def connections(server: EmbeddedServer) -> int:
    """How many connections a server of this process has."""
    all_of_them = psutil.Process().net_connections("tcp")
    return sum(each.laddr.port == server.port and bool(each.raddr) for each in all_of_them)


class Large:
    """An app that answers with many bytes, whatever it is sent."""

    data = b"x" * 20_000_000

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, self.data)


LAST = request("GET", "/", "Connection: close")
UNREAD = post("/", b"", "Connection: close").replace(b"Length: 0", b"Length: 1")


def test_clients_that_take_nothing_of_their_answers_are_given_up(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    give_bounds(monkeypatch, write_stall_seconds=0.1, linger_seconds=0.1)
    server = serve(Large(), timeout_keep_alive=0.1, loop=loop)
    for asking in (request(), LAST, UNREAD):
        client = connect(server, receive_buffer=4096)
        client.send(asking)
        assert client.reader.head().status == 200
    wait_until(lambda: connections(server) == 0, "the clients to be given up")


def test_clients_that_are_slow_to_take_the_last_answer_get_their_time(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, write_stall_seconds=2, linger_seconds=2)
    server = serve(Large(), timeout_keep_alive=0.1)
    both = [connect(server, receive_buffer=65536) for _ in range(2)]
    for client, asking in zip(both, (LAST, UNREAD), strict=True):
        client.send(asking)
    began = time.monotonic()
    while (passed := time.monotonic() - began) < 3.5:
        behind = [client for client in both if len(client.reader.buffer) < 4_000_000 * passed]
        for client in behind:
            client.reader.fill()
        if not behind:
            time.sleep(0.005)
    assert [client.read_response().body == Large.data for client in both] == [True, True]


def test_client_that_has_taken_its_answer_has_the_usual_time_again(serve: Serve, connect: Connect) -> None:
    client = connect(serve(Large(), timeout_keep_alive=0.1), receive_buffer=65536)
    client.send(request())
    time.sleep(LONG)
    assert client.read_response().body == Large.data
    assert client.is_closed()
