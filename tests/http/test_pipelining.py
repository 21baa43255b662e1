"""Requests that come before the last one is answered (RFC 9112, section 9.3.2): answered one by one, in their order."""

import pytest
from support.apps import Gate, Outcome, Recorder, echo_body, hello, read_body, respond
from support.embedded_server import EmbeddedServer, Serve
from support.raw_client import Connect, chunked, post, post_chunked, request

from threadserve.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/echo":
        await echo_body(scope, receive, send)
    else:
        await hello(scope, receive, send)


@pytest.fixture(scope="module")
def server(serve_shared: Serve) -> EmbeddedServer:
    return serve_shared(app)


def test_answers_come_in_order(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    client.send(b"".join(request("GET", f"/{number}") for number in range(200)))
    assert [client.read_response().body for _ in range(200)] == [f"/{number}".encode() for number in range(200)]


def test_bodies_between_requests_are_kept_apart(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    lookalike = request("GET", "/smuggled")
    client.send(post("/echo", lookalike) + post_chunked("/echo", b"a", lookalike) + request("GET", "/end"))
    assert client.read_response().body == lookalike
    assert client.read_response().body == b"a" + lookalike
    assert client.read_response().body == b"/end"


def test_head_request_in_a_row(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    client.send(request("GET", "/1") + request("HEAD", "/2") + request("GET", "/3"))
    assert client.read_response().body == b"/1"
    assert client.read_response("HEAD").body == b""
    assert client.read_response().body == b"/3"


def test_slow_first_request_is_answered_first_and_the_next_starts_after_it(serve: Serve, connect: Connect) -> None:
    gate = Gate()

    async def slow_first(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await gate.wait()
        await hello(scope, receive, send)

    recorder = Recorder(slow_first)
    client = connect(serve(recorder))
    client.send(request("GET", "/slow") + request("GET", "/quick") + request("GET", "/last"))
    gate.wait_for_arrivals()
    assert client.is_silent(0.1)
    assert [scope["path"] for scope in recorder.scopes] == ["/slow"]
    gate.open()
    assert [client.read_response().body for _ in range(3)] == [b"/slow", b"/quick", b"/last"]


@pytest.mark.parametrize("size", [1, 100, 300_000])
@pytest.mark.parametrize("coding", ["content-length", "chunked"])
def test_next_request_is_answered_past_a_body_that_nobody_read(
    server: EmbeddedServer, connect: Connect, size: int, coding: str
) -> None:
    client = connect(server)
    body = b"x" * size
    client.send(post("/unread", body) if coding == "content-length" else post_chunked("/unread", body))
    client.send(request("GET", "/next"))
    assert client.read_response().body == b"/unread"
    assert client.read_response().body == b"/next"


def test_body_that_nobody_read_may_come_after_the_response(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    client.send(request("POST", "/unread", "Transfer-Encoding: chunked"))
    assert client.read_response().body == b"/unread"
    client.send(chunked(b"late", b"body") + request("GET", "/next"))
    assert client.read_response().body == b"/next"


def test_body_read_in_part_is_passed_over(serve: Serve, connect: Connect) -> None:
    async def reads_one_message(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await hello(scope, receive, send)

    client = connect(serve(reads_one_message))
    for size in (10, 300_000):
        client.send(post("/first", b"x" * size) + request("GET", "/next"))
        assert client.read_response().body == b"/first"
        assert client.read_response().body == b"/next"


def test_application_that_outlives_its_response_gets_nothing_of_the_next_request(
    serve: Serve, connect: Connect
) -> None:
    gate = Gate()
    left = Outcome()

    async def lingers(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await respond(send, scope["path"].encode())
        if scope["path"] == "/lingers":
            await gate.wait()
            left.set((await receive())["type"])

    client = connect(serve(lingers))
    client.send(request("GET", "/lingers") + post("/next", b"not for /lingers"))
    assert client.read_response().body == b"/lingers"
    gate.wait_for_arrivals()
    gate.open()
    assert client.read_response().body == b"/next"
    assert left.get() == "http.disconnect"


def test_last_of_a_row_may_close(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    client.send(request("GET", "/1") + request("GET", "/2", "Connection: close") + request("GET", "/never"))
    assert client.read_response().body == b"/1"
    assert client.read_response().body == b"/2"
    assert client.is_closed()


def test_bad_request_in_a_row_is_answered_after_those_before_it(serve: Serve, connect: Connect) -> None:
    gate = Gate()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await gate.wait()
        await hello(scope, receive, send)

    recorder = Recorder(waits)
    client = connect(serve(recorder))
    client.send(request("GET", "/1") + post("/2", b"abc") + b"GET /bad HTTP/1.1\r\n\r\n" + request("GET", "/never"))
    gate.wait_for_arrivals()
    gate.open()
    assert client.read_response().body == b"/1"
    assert client.read_response().body == b"/2"
    assert client.read_response().status == 400
    assert client.is_closed()
    assert [scope["path"] for scope in recorder.scopes] == ["/1", "/2"]
