"""The limits on a request's body over HTTP/2: how long it may be."""

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame
from support.apps import Outcome, Recorder, body, echo_body, hello, respond, start
from support.embedded_server import Serve
from support.http2_client import ConnectH2
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
    client = connect_h2(serve(echo_body, limit_request_body=LIMIT))
    client.synchronize()
    window = client.window_of(101)
    for _ in range(20):
        stream_id = client.open("/", method="POST", ends=False)
        client.send_data(stream_id, b"x" * 100_000)
        assert client.read(stream_id).status == 413
    client.synchronize()
    assert client.window_of(101) > window - 2_000_000 / 2
    assert client.post("/", b"fine").body == b"fine"
