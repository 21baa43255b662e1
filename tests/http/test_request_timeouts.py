"""Bodies that stop coming, and applications that do not come back.

Every upper bound is generous: one sweep per loop looks at the deadlines.
"""

import asyncio
import re
import threading
import time

import pytest
from support.apps import Gate, Outcome, body, echo_body, read_body, respond, start
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.logged import statuses_logged, warnings_in
from support.raw_client import Connect, chunked, request
from support.responses import Incomplete
from support.waiting import DEADLINE, wait_until
from support.websocket_client import text, websocket_clients

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
    assert is_blocked.wait(DEADLINE)
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


class Stuck:
    """Hangs, but for /fine: before its response, in the middle of it, behind it, or again when it is cancelled."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.cancelled = Outcome()
        self.ended = Outcome()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/fine":
            await respond(send, b"fine")
            return
        if path == "/begun":
            await start(send)
            await body(send, b"begun", more=True)
        if path == "/answered":
            await respond(send, b"answered")
        try:
            await self.hang()
        except asyncio.CancelledError:
            self.cancelled.set()
            if path == "/stubborn":
                await respond(send, b"after all")
            elif path == "/endless":
                await self.stream(send)
            else:
                raise
        finally:
            # A task that is being cancelled may wait for something still.
            await asyncio.sleep(0)
            self.ended.set()

    async def hang(self) -> None:
        await self.gate.wait()

    async def stream(self, send: Send) -> None:
        await start(send)
        while True:
            await body(send, b"x" * 65536, more=True)


OVERDUE = f"An ASGI call has not come back for {TIMEOUT} seconds: "


def test_call_that_hangs_is_answered_504(
    serve: Serve, connect: Connect, error_log: ErrorLog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "threadserve.access")
    app = Stuck()
    server = serve(app, timeout_request=TIMEOUT, limit_concurrency=1)
    client = connect(server)
    client.send(request("GET", "/hangs?a=b"))
    response = client.read_response()
    assert (response.status, response.body) == (504, b"Gateway Timeout")
    assert response.header("connection") == b"close"
    assert client.is_closed()
    app.cancelled.get()
    told = error_log.expect(text=OVERDUE).getMessage()
    assert told.startswith(f"{OVERDUE}GET /hangs?a=b (0 s). It is answered 504, and is cancelled at:\n")
    assert re.findall(r"line \d+, in (\w+)\n    (.*)", told)[:3] == [
        ("__call__", "await self.hang()"),
        ("hang", "await self.gate.wait()"),
        ("wait", "await event.wait()"),
    ]
    assert statuses_logged(caplog, "/hangs?a=b") == ["504"]
    app.ended.get()
    wait_until(lambda: connect(server).get("/fine").body == b"fine", "the next request to be admitted")


def test_connection_ends_where_the_response_of_a_call_that_hangs_has_begun(
    serve: Serve, connect: Connect, error_log: ErrorLog
) -> None:
    app = Stuck()
    client = connect(serve(app, timeout_request=TIMEOUT))
    client.send(request("GET", "/begun"))
    with pytest.raises(Incomplete):
        client.read_response()
    app.cancelled.get()
    error_log.expect(text="GET /begun (0 s). It is broken off in its response, and is cancelled at:\n")


@pytest.mark.parametrize("path", ["/stubborn", "/endless"])
def test_what_an_application_sends_in_spite_of_being_cancelled_is_let_go(
    serve: Serve, connect: Connect, error_log: ErrorLog, path: str
) -> None:
    app = Stuck()
    server = serve(app, timeout_request=TIMEOUT)
    client = connect(server)
    client.send(request("GET", path))
    response = client.read_response()
    assert (response.status, response.body) == (504, b"Gateway Timeout")
    assert client.read_all() == b""
    app.ended.get()
    error_log.expect(text=OVERDUE)
    assert connect(server).get("/fine").body == b"fine"


def test_application_that_waits_again_is_told_of_once(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    again = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await again.wait()

    server = serve(app, timeout_request=TIMEOUT)
    client = connect(server)
    client.send(request())
    assert client.read_response().status == 504
    again.wait_for_arrivals()
    error_log.expect(text=OVERDUE)
    assert client.is_closed()
    # It is looked at several times.
    assert connect(server).is_silent(3 * TIMEOUT)
    again.open()


def test_what_goes_on_behind_a_complete_response_may_take_its_time(serve: Serve, connect: Connect) -> None:
    app = Stuck()
    client = connect(serve(app, timeout_request=TIMEOUT))
    assert client.get("/answered").body == b"answered"
    app.gate.wait_for_arrivals()
    assert client.is_silent(3 * TIMEOUT)
    app.gate.open()
    app.ended.get()
    assert client.get("/fine").body == b"fine"


def test_call_that_hangs_is_cancelled_though_its_client_has_gone(
    serve: Serve, connect: Connect, error_log: ErrorLog
) -> None:
    app = Stuck()
    client = connect(serve(app, timeout_request=1))
    client.send(request("GET", "/hangs"))
    app.gate.wait_for_arrivals()
    client.reset()
    app.cancelled.get()
    error_log.expect(text="Its client has gone, and is cancelled at:\n")


def test_client_that_still_sends_its_body_gets_the_504(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    client = connect(serve(echo_body, timeout_request=TIMEOUT))
    client.send(request("POST", "/", "Content-Length: 10", body=b"abc"))
    assert client.read_response().status == 504
    client.send(b"defghij")
    assert client.is_closed()
    assert "message = await receive()" in error_log.expect(text=OVERDUE).getMessage()


def test_call_whose_answer_came_during_a_stall_is_not_given_up(serve: Serve, connect: Connect) -> None:
    """What a client sent before its time was over is read, and acted on, before it is looked whether that is over."""
    waits, stalls = Gate(), threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/stalls":
            stalls.set()
            threading.Event().wait(1.5)
            await respond(send)
            return
        waits.arrived += 1
        await echo_body(scope, receive, send)

    server = serve(app, timeout_request=1)
    client, stalling = connect(server), connect(server)
    client.send(request("POST", "/", "Content-Length: 3", body=b"a"))
    waits.wait_for_arrivals()
    stalling.send(request("GET", "/stalls"))
    assert stalls.wait(DEADLINE)
    client.send(b"bc")
    assert client.read_response().body == b"abc"
    assert stalling.read_response().status == 200


def test_websockets_may_take_their_time(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.send", "text": "still here"})

    server = serve(app, timeout_request=TIMEOUT)
    with websocket_clients() as connect_websocket:
        client = connect_websocket(server)
        assert client.open().status == 101
        assert client.is_silent(4 * TIMEOUT)
        client.send(text("hello"))
        assert client.read_text() == "still here"
