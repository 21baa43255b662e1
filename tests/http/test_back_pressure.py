"""Neither a slow client nor a slow application makes the server collect data without bound."""

import asyncio
import hashlib
import threading
from collections.abc import Callable

import pytest
from support.apps import Gate, Outcome, body, echo_body, read_body, respond, start
from support.embedded_server import Serve
from support.memory_transport import TURNS, converse
from support.raw_client import Connect, post, post_chunked, request
from support.responses import parse_responses

from threadserve.types import Receive, Scope, Send

MEGABYTE = 1_000_000
PIECE = 65536
# What the two sockets' buffers may hold is the system's business: some megabytes each.
BOUND = 24 * MEGABYTE


class SlowlyRead:
    """Streams a gigabyte, counts what `send` has taken, and tells when `send` has been waiting for a while."""

    def __init__(self) -> None:
        self.taken = 0
        self.blocked = threading.Event()
        self.ended = Outcome()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        await start(send, 200, [(b"content-length", b"%d" % (16384 * PIECE))])
        for number in range(16384):
            alarm = loop.call_later(0.3, self.blocked.set)
            await body(send, bytes([number % 256]) * PIECE, more=number < 16383)
            alarm.cancel()
            self.taken += PIECE
        self.ended.set()


def test_slow_reader_of_a_gigabyte_holds_the_application_up(serve: Serve, connect: Connect, loop: str) -> None:
    app = SlowlyRead()
    client = connect(serve(app, loop=loop), receive_buffer=PIECE)
    client.send(request())
    assert client.reader.head().status == 200
    read = 0
    for _ in range(3):
        assert app.blocked.wait(10)
        assert app.taken - read < BOUND
        # Before anything is read: `send` may have been waiting again for a while before the last of it is.
        app.blocked.clear()
        for _ in range(160):
            assert client.reader.take(PIECE) == bytes([read // PIECE % 256]) * PIECE
            read += PIECE
    client.reset()
    app.ended.get()


def test_slow_reader_gets_everything_in_the_end(serve: Serve, connect: Connect, loop: str) -> None:
    blocked = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        running = asyncio.get_running_loop()
        await start(send)
        for number in range(512):
            alarm = running.call_later(0.2, blocked.set)
            await body(send, bytes([number % 256]) * PIECE, more=True)
            alarm.cancel()
        await body(send)

    client = connect(serve(app, loop=loop), receive_buffer=PIECE)
    client.send(request())
    assert blocked.wait(10)
    response = client.read_response()
    assert len(response.body) == 512 * PIECE
    expected = hashlib.sha256(b"".join(bytes([number % 256]) * PIECE for number in range(512)))
    assert hashlib.sha256(response.body).digest() == expected.digest()


@pytest.mark.parametrize("asking", [request(), request("GET", "/", "Connection: close")], ids=["kept", "closed"])
def test_slow_reader_of_the_last_part_holds_the_application_up(
    serve: Serve, connect: Connect, loop: str, asking: bytes
) -> None:
    blocked, ended = threading.Event(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        alarm = asyncio.get_running_loop().call_later(0.2, blocked.set)
        await respond(send, bytes(BOUND))
        alarm.cancel()
        ended.set()

    client = connect(serve(app, loop=loop), receive_buffer=PIECE)
    client.send(asking)
    assert blocked.wait(10)
    assert client.read_response().body == bytes(BOUND)
    ended.get()


@pytest.mark.parametrize("message", ["one", "many"])
def test_response_larger_than_all_buffers_is_sent_whole(
    serve: Serve, connect: Connect, loop: str, message: str
) -> None:
    data = bytes(range(256)) * 65536

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if message == "one":
            await respond(send, data)
            return
        await start(send)
        for at in range(0, len(data), 1000):
            await body(send, data[at : at + 1000], more=True)
        await body(send)

    client = connect(serve(app, loop=loop), receive_buffer=PIECE)
    for _ in range(2):
        assert client.get().body == data


@pytest.mark.parametrize("coding", ["Content-Length: 67108864", "Transfer-Encoding: chunked"])
def test_fast_uploader_is_held_up_by_a_slow_application(serve: Serve, connect: Connect, loop: str, coding: str) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        received = largest = 0
        while True:
            message = await receive()
            received += len(message["body"])
            largest = max(largest, len(message["body"]))
            if not message["more_body"]:
                break
        await respond(send, b"%d %d" % (received, largest))

    client = connect(serve(app, loop=loop))
    client.send(request("POST", "/", coding))
    gate.wait_for_arrivals()
    unit = b"x" * PIECE if "Length" in coding else b"%x\r\n" % PIECE + b"x" * PIECE + b"\r\n"
    total = 1024 * len(unit)
    sent = client.send_while_taken(unit, total, patience=0.3)
    assert sent < BOUND
    gate.open()
    at = sent % len(unit)
    assert client.send_while_taken(unit[at:] + unit[:at], total - sent, patience=10) == total - sent
    if "chunked" in coding:
        client.send(b"0\r\n\r\n")
    received, largest = map(int, client.read_response().body.split())
    assert received == 1024 * PIECE
    assert largest <= 2 * MEGABYTE


def test_uploader_is_held_up_between_two_reads(serve: Serve, connect: Connect, loop: str) -> None:
    first, second = Gate(), Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await first.wait()
        await receive()
        await second.wait()
        await respond(send, b"done")

    client = connect(serve(app, loop=loop))
    client.send(request("POST", "/", "Content-Length: 1000000000"))
    sent = client.send_while_taken(b"x" * PIECE, 10**9, patience=0.3)
    first.wait_for_arrivals()
    assert sent < BOUND
    first.open()
    second.wait_for_arrivals()
    sent += client.send_while_taken(b"x" * PIECE, 10**9 - sent, patience=0.3)
    assert sent < BOUND
    client.reset()
    second.open()


def test_flood_of_pipelined_requests_is_held_up_by_a_slow_one(serve: Serve, connect: Connect, loop: str) -> None:
    gate = Gate()
    calls: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(scope["path"])
        await gate.wait()
        await respond(send, b"ok")

    client = connect(serve(app, loop=loop))
    client.send(request("GET", "/first"))
    gate.wait_for_arrivals()
    flood = request("GET", "/flood", "X-Padding: " + "x" * 8000)
    assert client.send_while_taken(flood, 64 * MEGABYTE, patience=0.3) < BOUND
    assert calls == ["/first"]
    client.reset()
    gate.open()


@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize("make", [post, post_chunked])
@pytest.mark.parametrize("held_up", [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
def test_a_body_that_begins_behind_a_slow_request_goes_on_after_it(
    http: str, make: Callable[[str, bytes], bytes], held_up: int
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            for _ in range(2 * TURNS):
                await asyncio.sleep(0)
        await echo_body(scope, receive, send)

    upload = make("/", b"x" * 3 * PIECE)
    cut = upload.index(b"\r\n\r\n") + 4 + held_up
    pieces = [request("GET", "/slow") + upload[:cut], upload[cut:]]
    answers = parse_responses(asyncio.run(converse(app, http, pieces)))
    assert [answer.body for answer in answers] == [b"", b"x" * 3 * PIECE]


def test_large_answers_to_a_pipeline_are_held_up_by_a_slow_reader(serve: Serve, connect: Connect, loop: str) -> None:
    calls: list[asyncio.TimerHandle] = []
    quiet = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if calls:
            calls[-1].cancel()
        calls.append(asyncio.get_running_loop().call_later(0.3, quiet.set))
        await respond(send, bytes([len(calls)]) * MEGABYTE)

    client = connect(serve(app, loop=loop), receive_buffer=PIECE)
    client.send(request() * 100)
    assert quiet.wait(10)
    assert len(calls) * MEGABYTE < BOUND
    for number in range(1, 101):
        assert client.read_response().body == bytes([number]) * MEGABYTE


def test_client_that_sends_requests_and_reads_no_answers_is_held_up(serve: Serve, connect: Connect, loop: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"x" * 2000)

    client = connect(serve(app, loop=loop), receive_buffer=PIECE)
    flood = request("GET", "/", "X-Padding: " + "x" * 1000)
    assert client.send_while_taken(flood, 2 * BOUND, patience=0.5) < BOUND
    client.reset()


def test_body_that_nobody_reads_is_held_up_while_the_response_is_pending(
    serve: Serve, connect: Connect, loop: str
) -> None:
    """After the response the rest of the body is passed over, without being kept; the connection may end with it."""
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await gate.wait()
        await respond(send, await read_body(receive) if scope["method"] == "GET" else b"unread")

    client = connect(serve(app, loop=loop))
    length = 32 * MEGABYTE
    client.send(request("POST", "/", f"Content-Length: {length}"))
    gate.wait_for_arrivals()
    sent = client.send_while_taken(b"x" * PIECE, length, patience=0.3)
    assert sent < BOUND
    gate.open()
    assert client.read_response().body == b"unread"
    assert sent + client.send_while_taken(b"x" * PIECE, length - sent, patience=10) == length
    client.send(request("GET", "/next", "Connection: close"))
    assert [response.status for response in parse_responses(client.read_all())] in ([], [200])
