"""The limits on a request's body over HTTP/2: how long it may be, and how long it may take."""

import select
import time

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame
from support.apps import Gate, Outcome, Recorder, body, echo_body, hello, respond, start
from support.embedded_server import Serve
from support.http2_client import INITIAL_WINDOW_SIZE, ConnectH2, H2Client
from support.logged import warnings_in

from threadserve.types import Receive, Scope, Send

LIMIT = 1000
REFUSED = f"413, the body of the request is longer than {LIMIT} bytes"


class Reader:
    """Reads on until it is told that the client has gone. At /begun it begins to answer first."""

    def __init__(self) -> None:
        self.got = Outcome()
        self.has_begun = Outcome()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/":
            await hello(scope, receive, send)
            return
        if scope["path"] == "/begun":
            await start(send)
            await body(send, b"begun", more=True)
        self.has_begun.set()
        size = 0
        while (message := await receive())["type"] == "http.request":
            size += len(message["body"])
        await (body(send, b"late") if scope["path"] == "/begun" else respond(send, b"late"))
        self.got.set((size, message["type"]))


@pytest.mark.parametrize("expects", [[], [("expect", "100-continue")]])
def test_body_is_refused_by_its_length(
    serve: Serve, connect_h2: ConnectH2, caplog: pytest.LogCaptureFixture, expects: list[tuple[str, str]]
) -> None:
    recorder = Recorder(echo_body)
    client = connect_h2(serve(recorder, limit_request_body=LIMIT))
    stream_id = client.open("/", [("content-length", f"{LIMIT + 1}"), *expects], method="POST", ends=False)
    response = client.read(stream_id)
    assert (response.status, response.informational, response.is_complete) == (413, [], True)
    assert recorder.scopes == []
    assert warnings_in(caplog) == [REFUSED]
    # What is under way of it hurts nobody.
    client.send_data(stream_id, b"x" * (LIMIT + 1), ends=True)
    assert client.post("/", b"x" * LIMIT).body == b"x" * LIMIT


def test_longest_body_is_taken(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(echo_body, limit_request_body=LIMIT))
    for fields in ([], [("content-length", f"{LIMIT}")]):
        assert client.post("/", b"x" * LIMIT, fields).body == b"x" * LIMIT


def test_body_that_comes_with_its_head_is_refused_before_the_call(serve: Serve, connect_h2: ConnectH2) -> None:
    recorder = Recorder(hello)
    client = connect_h2(serve(recorder, limit_request_body=LIMIT, limit_concurrency=1))
    client.synchronize()
    head = client.block_frames(
        1, [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/")], ends=False
    )
    client.send_frame(*head, DataFrame(1, data=b"x" * (LIMIT + 1), flags=["END_STREAM"]))
    client.next_stream = 3
    assert client.read(1).status == 413
    assert recorder.scopes == []
    assert client.get("/next").body == b"/next"


def test_body_is_refused_as_soon_as_it_is_too_long(
    serve: Serve, connect_h2: ConnectH2, caplog: pytest.LogCaptureFixture
) -> None:
    app = Reader()
    client = connect_h2(serve(app, limit_request_body=LIMIT))
    stream_id = client.open("/read", method="POST", ends=False)
    client.send_data(stream_id, b"x" * LIMIT)
    app.has_begun.get()
    client.send_data(stream_id, b"x")
    response = client.read(stream_id)
    assert (response.status, response.is_complete) == (413, True)
    assert app.got.get() == (LIMIT, "http.disconnect")
    client.read_until(lambda: response.reset is not None)
    assert response.reset == ErrorCodes.NO_ERROR
    assert warnings_in(caplog) == [REFUSED]
    assert client.get().body == b"/"


def test_last_frame_may_be_the_one_too_many(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Reader()
    client = connect_h2(serve(app, limit_request_body=LIMIT))
    stream_id = client.open("/read", method="POST", ends=False)
    app.has_begun.get()
    client.send_data(stream_id, b"x" * (LIMIT + 1), ends=True)
    assert client.read(stream_id).status == 413
    assert app.got.get() == (0, "http.disconnect")
    assert client.get().body == b"/"
    assert client.response(stream_id).reset is None


def test_stream_ends_where_the_response_has_begun(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Reader()
    client = connect_h2(serve(app, limit_request_body=LIMIT))
    stream_id = client.open("/begun", method="POST", ends=False)
    response = client.response(stream_id)
    client.read_until(lambda: response.body)
    client.send_data(stream_id, b"x" * (LIMIT + 1))
    client.read(stream_id)
    assert (response.status, response.body, response.reset) == (200, b"begun", ErrorCodes.CANCEL)
    assert app.got.get() == (0, "http.disconnect")
    assert client.get().body == b"/"


def test_refused_bodies_use_up_no_window(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(Reader(), limit_request_body=LIMIT))
    client.synchronize()
    window = client.window_of(101)
    for _ in range(20):
        stream_id = client.open("/read", method="POST", ends=False)
        client.send_data(stream_id, b"x" * 100_000)
        assert client.read(stream_id).status == 413
    client.synchronize()
    assert client.window_of(101) > window - 2_000_000 / 2


TIMEOUT = 0.2
# Long enough for the timeout, and two sweeps.
LONG = 1.5
LATE = "408, the body of the request took too long"


def pass_time(client: H2Client, seconds: float) -> None:
    """Lets time pass on a connection that is not silent."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        select.select([], [], [], min(left, 0.1))
        client.synchronize()


@pytest.mark.parametrize("part", [b"", b"abc"])
def test_body_that_stops_is_answered_408(
    serve: Serve, connect_h2: ConnectH2, caplog: pytest.LogCaptureFixture, part: bytes
) -> None:
    app = Reader()
    client = connect_h2(serve(app, timeout_request_body=TIMEOUT))
    stream_id = client.open("/read", method="POST", ends=False)
    if part:
        client.send_data(stream_id, part)
    response = client.read(stream_id)
    assert (response.status, response.is_complete) == (408, True)
    assert app.got.get() == (len(part), "http.disconnect")
    assert warnings_in(caplog) == [LATE]
    client.read_until(lambda: response.reset is not None)
    assert response.reset == ErrorCodes.NO_ERROR
    assert client.get().body == b"/"


def test_stream_of_a_body_that_stops_ends_where_the_response_has_begun(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Reader()
    client = connect_h2(serve(app, timeout_request_body=TIMEOUT))
    response = client.read(client.open("/begun", method="POST", ends=False))
    assert (response.status, response.body, response.reset) == (200, b"begun", ErrorCodes.CANCEL)
    assert app.got.get() == (0, "http.disconnect")
    assert client.get().body == b"/"


def test_each_part_of_a_body_has_its_time_while_others_stop(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Reader()
    client = connect_h2(serve(app, timeout_request_body=1.5))
    alive = client.open("/read", method="POST", ends=False)
    stopped = client.open("/read", method="POST", ends=False)
    for _ in range(10):
        client.send_data(alive, b"x")
        pass_time(client, 0.4)
    assert client.response(stopped).status == 408
    assert client.response(alive).status == 0
    client.reset(alive)
    assert app.got.get()


def test_application_that_does_not_ask_costs_the_client_no_time(serve: Serve, connect_h2: ConnectH2) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await echo_body(scope, receive, send)

    client = connect_h2(serve(app, timeout_request_body=TIMEOUT))
    full = client.open("/", method="POST", ends=False)
    client.send_data(full, b"x" * 100_000)
    expecting = client.open("/", [("expect", "100-continue")], method="POST", ends=False)
    gate.wait_for_arrivals(2)
    pass_time(client, LONG)
    assert (client.response(full).status, client.response(expecting).status) == (0, 0)
    gate.open()
    client.read_until(lambda: client.response(expecting).informational)
    client.send_data(expecting, b"abc", ends=True)
    client.send_data(full, b"y", ends=True)
    assert client.read(expecting).body == b"abc"
    assert client.read(full).body == b"x" * 100_000 + b"y"


def test_client_has_its_time_anew_when_the_application_asks(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Reader()
    client = connect_h2(serve(app, timeout_request_body=TIMEOUT))
    stream_id = client.open("/read", [("expect", "100-continue")], method="POST", ends=False)
    response = client.read(stream_id)
    assert ([status for status, _ in response.informational], response.status) == ([100], 408)


def test_answer_that_the_client_does_not_take_costs_its_bodies_no_time(serve: Serve, connect_h2: ConnectH2) -> None:
    """While nothing is read of a connection, nobody can be late on it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/large":
            await respond(send, b"x" * 20_000_000)
        else:
            await echo_body(scope, receive, send)

    client = connect_h2(serve(app, timeout_request_body=0.6), {INITIAL_WINDOW_SIZE: 2**30})
    client.widen(2**30)
    client.synchronize()
    upload = client.open("/", method="POST", ends=False)
    client.send_data(upload, b"a")
    large = client.open("/large")
    select.select([], [], [], 2 * LONG)
    client.send_data(upload, b"b", ends=True)
    assert len(client.read(large).body) == 20_000_000
    assert client.read(upload).body == b"ab"
