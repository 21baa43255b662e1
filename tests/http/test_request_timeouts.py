"""Bodies that stop coming. Every upper bound is generous: one sweep per loop looks at the deadlines."""

import threading
import time

import pytest
from support.apps import Gate, Outcome, body, echo_body, read_body, respond, start
from support.embedded_server import Serve
from support.logged import statuses_logged, warnings_in
from support.raw_client import Connect, chunked, request
from support.responses import Incomplete

from threadserve.types import Receive, Scope, Send

TIMEOUT = 0.2
# Long enough for the timeout, and two sweeps.
LONG = 1.5
LATE = ["408, the body of the request took too long"]
CHUNKED = "Transfer-Encoding: chunked"
EXPECT = "Expect: 100-continue"


@pytest.fixture
def parser() -> str:
    """One of them: what is timed here is what it has found."""
    return "auto"


class Reader:
    """Reads a body and answers with it, or notes that its client has gone; at /begun it begins to answer first."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.gate.open()
        self.disconnected = Outcome()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/begun":
            await start(send)
            await body(send, b"begun", more=True)
        await self.gate.wait()
        parts = []
        while (message := await receive())["type"] == "http.request":
            parts.append(message["body"])
            if not message["more_body"]:
                await respond(send, b"".join(parts))
                return
        self.disconnected.set(b"".join(parts))


@pytest.mark.parametrize("sent", [["Content-Length: 10"], [CHUNKED], ["Content-Length: 10", EXPECT], [CHUNKED, EXPECT]])
@pytest.mark.parametrize("part", [b"", b"5\r\nabcde\r\n"])
def test_body_that_stops_is_answered_408(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture, sent: list[str], part: bytes
) -> None:
    caplog.set_level("INFO", "threadserve.access")
    app = Reader()
    client = connect(serve(app, timeout_request_body=TIMEOUT))
    part = part if CHUNKED in sent else part[:5]
    client.send(request("POST", "/stops", *sent))
    if EXPECT in sent:
        assert client.reader.head().status == 100
    client.send(part)
    began = time.monotonic()
    response = client.read_response()
    assert (response.status, response.header("connection")) == (408, b"close")
    assert client.is_closed()
    assert time.monotonic() - began > TIMEOUT / 2
    app.disconnected.get()
    assert warnings_in(caplog) == LATE
    assert statuses_logged(caplog, "/stops") == ["408"]


def test_connection_ends_where_the_response_has_begun(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    app = Reader()
    client = connect(serve(app, timeout_request_body=TIMEOUT))
    client.send(request("POST", "/begun", CHUNKED) + chunked(b"abc")[:-5])
    assert client.reader.head().status == 200
    with pytest.raises(Incomplete):
        client.reader.chunks()
    assert app.disconnected.get() == b"abc"
    assert warnings_in(caplog) == LATE


def test_each_part_has_its_time(serve: Serve, connect: Connect) -> None:
    client = connect(serve(echo_body, timeout_request_body=2))
    client.send(request("POST", "/", CHUNKED))
    for _ in range(8):
        client.send(chunked(b"x")[:-5])
        assert client.is_silent(0.5)
    client.send(chunked(b"y"))
    assert client.read_response().body == b"xxxxxxxxy"


@pytest.mark.parametrize("dripping", [b"0" * 10, b"1;a=" + b"b" * 20, b"0\r\nX-Long: " + b"a" * 20])
def test_what_is_no_part_of_the_body_does_not_put_the_408_off(serve: Serve, connect: Connect, dripping: bytes) -> None:
    client = connect(serve(Reader(), timeout_request_body=TIMEOUT))
    client.send(request("POST", "/", CHUNKED) + chunked(b"x")[:-5])
    for byte in dripping:
        client.send(bytes([byte]))
        if not client.is_silent(0.2):
            break
    assert client.read_response().status == 408


def test_application_that_does_not_ask_costs_the_client_no_time(serve: Serve, connect: Connect) -> None:
    """Neither where its bytes wait to be read, nor where it waits for 100."""
    app = Reader()
    app.gate = Gate()
    server = serve(app, timeout_request_body=TIMEOUT)
    size = 3_000_000
    full, expecting = connect(server), connect(server)
    full.send(request("POST", "/", f"Content-Length: {size}"))
    full.send_while_taken(b"x" * 65536, 200_000, TIMEOUT)
    expecting.send(request("POST", "/", "Content-Length: 3", EXPECT))
    app.gate.wait_for_arrivals(2)
    assert full.is_silent(LONG)
    assert expecting.is_silent(0.01)
    app.gate.open()
    assert expecting.reader.head().status == 100
    expecting.send(b"abc")
    assert expecting.read_response().body == b"abc"
    full.send(b"x" * (size - 200_000))
    assert len(full.read_response().body) == size


def test_time_begins_when_the_application_asks(serve: Serve, connect: Connect) -> None:
    app = Reader()
    app.gate = Gate()
    client = connect(serve(app, timeout_request_body=TIMEOUT))
    client.send(request("POST", "/", "Content-Length: 300000", body=b"x" * 200_000))
    app.gate.wait_for_arrivals()
    assert client.is_silent(LONG)
    app.gate.open()
    assert client.read_response().status == 408


def test_application_may_take_its_time_when_the_body_is_complete(serve: Serve, connect: Connect) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        data = await read_body(receive)
        await gate.wait()
        await respond(send, data)

    client = connect(serve(app, timeout_request_body=TIMEOUT))
    client.send(request("POST", "/", CHUNKED))
    client.send(chunked(b"abc"))
    gate.wait_for_arrivals()
    assert client.is_silent(LONG)
    gate.open()
    assert client.read_response().body == b"abc"
    client.send(request("POST", "/", "Content-Length: 1", body=b"x"))
    assert client.read_response().body == b"x"


def test_time_for_which_the_loop_is_blocked_is_nobodys(serve: Serve, connect: Connect) -> None:
    is_blocked, release = threading.Event(), threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/blocks":
            is_blocked.set()
            release.wait(LONG)
            await respond(send)
            return
        await echo_body(scope, receive, send)

    server = serve(app, timeout_request_body=TIMEOUT)
    client, blocking = connect(server), connect(server)
    client.send(request("POST", "/", "Content-Length: 3", body=b"a"))
    blocking.send(request("GET", "/blocks"))
    assert is_blocked.wait(LONG)
    client.send(b"bc")
    assert client.read_response().body == b"abc"
    assert blocking.read_response().status == 200


def test_body_that_nobody_wants_has_the_time_of_a_head(serve: Serve, connect: Connect) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"early")

    client = connect(serve(app, timeout_request_body=TIMEOUT))
    client.send(request("POST", "/", "Content-Length: 3"))
    assert client.read_response().body == b"early"
    assert client.is_silent(LONG)
    client.send(b"abc" + request("POST", "/", "Content-Length: 0"))
    assert client.read_response().body == b"early"
