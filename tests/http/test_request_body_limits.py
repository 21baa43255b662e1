"""The limit on a request's body: by its declared length at once, else by what has come of it."""

import logging
from contextlib import suppress

import pytest
from support.apps import Disconnected, Outcome, Recorder, body, echo_body, respond, start
from support.embedded_server import EmbeddedServer, Serve
from support.logged import statuses_logged, warnings_in
from support.raw_client import Connect, chunked, post, post_chunked, request
from support.responses import Incomplete

from threadserve.types import Receive, Scope, Send

LIMIT = 1000
CHUNKED = "Transfer-Encoding: chunked"
EXPECT = "Expect: 100-continue"


@pytest.fixture(scope="module")
def shared_recorder() -> Recorder:
    return Recorder(echo_body)


@pytest.fixture(scope="module")
def server(serve_shared: Serve, shared_recorder: Recorder) -> EmbeddedServer:
    return serve_shared(shared_recorder, limit_request_body=LIMIT)


@pytest.fixture
def recorder(shared_recorder: Recorder) -> Recorder:
    shared_recorder.clear()
    return shared_recorder


REFUSED = [f"413, the body of the request is longer than {LIMIT} bytes"]


def test_largest_body_is_taken(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    for sent in (post("/", b"x" * LIMIT), post_chunked("/", *[b"x" * (LIMIT // 10)] * 10)) * 2:
        client.send(sent)
        assert client.read_response().body == b"x" * LIMIT


@pytest.mark.parametrize("fields", [[], [EXPECT]])
@pytest.mark.parametrize("length", [LIMIT + 1, 10**15])
def test_longer_body_is_refused_by_its_length(
    server: EmbeddedServer,
    recorder: Recorder,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    fields: list[str],
    length: int,
) -> None:
    client = connect(server)
    client.send(request("POST", "/", f"Content-Length: {length}", *fields))
    response = client.read_response()
    assert (response.status, response.header("connection"), response.interim) == (413, b"close", [])
    assert client.is_closed()
    assert recorder.scopes == []
    assert warnings_in(caplog) == REFUSED


def test_refused_client_may_go_on_sending(server: EmbeddedServer, recorder: Recorder, connect: Connect) -> None:
    client = connect(server)
    client.send(post("/", b"x" * 3_000_000))
    client.send(request("GET", "/smuggled"))
    assert client.read_response().status == 413
    assert client.is_closed()
    assert recorder.scopes == []


def test_refusal_comes_in_its_turn(server: EmbeddedServer, recorder: Recorder, connect: Connect) -> None:
    client = connect(server)
    client.send(post("/1", b"one") + post("/2", b"x" * (LIMIT + 1)) + request("GET", "/3"))
    assert client.read_response().body == b"one"
    assert client.read_response().status == 413
    assert client.is_closed()
    assert [scope["path"] for scope in recorder.scopes] == ["/1"]


@pytest.mark.parametrize("chunks", [[b"x" * (LIMIT + 1)], [b"x"] * (LIMIT + 1)], ids=["one chunk", "many"])
def test_chunked_body_that_comes_with_its_head_is_refused_before_the_call(
    server: EmbeddedServer, recorder: Recorder, connect: Connect, caplog: pytest.LogCaptureFixture, chunks: list[bytes]
) -> None:
    client = connect(server)
    client.send(post_chunked("/", *chunks))
    assert client.read_response().status == 413
    assert client.is_closed()
    assert warnings_in(caplog) == REFUSED
    # Of many chunks the parser may hand on some, and so have the application called.
    assert recorder.bodies == []


class Reader:
    """Reads on until it is told that the client has gone; notes what it got. At /begun it begins to answer first."""

    def __init__(self) -> None:
        self.got = Outcome()
        self.has_read = Outcome()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/begun":
            await start(send)
            await body(send, b"begun", more=True)
        size = 0
        while (message := await receive())["type"] == "http.request":
            size += len(message["body"])
            self.has_read.set()
        await respond(send, b"too late") if scope["path"] != "/begun" else await body(send, b"too late")
        self.got.set((size, message["type"]))


def test_chunked_body_is_refused_as_soon_as_it_is_too_long(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "threadserve.access")
    app = Reader()
    client = connect(serve(app, limit_request_body=LIMIT))
    client.send(request("POST", "/read", CHUNKED, EXPECT))
    assert client.reader.head().status == 100
    client.send(chunked(b"x" * LIMIT)[:-5])
    app.has_read.get()
    client.send(chunked(b"x")[:-5])
    response = client.read_response()
    assert (response.status, response.header("connection")) == (413, b"close")
    # It may send on.
    client.send(chunked(b"x" * 1_000_000))
    assert client.is_closed()
    assert app.got.get() == (LIMIT, "http.disconnect")
    assert warnings_in(caplog) == REFUSED
    assert statuses_logged(caplog, "/read") == ["413"]


def test_connection_ends_where_the_response_has_begun(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    app = Reader()
    client = connect(serve(app, limit_request_body=LIMIT))
    client.send(request("POST", "/begun", CHUNKED) + chunked(b"x" * LIMIT)[:-5])
    assert client.reader.head().status == 200
    app.has_read.get()
    client.send(chunked(b"x"))
    with pytest.raises(Incomplete):
        client.reader.chunks()
    assert app.got.get() == (LIMIT, "http.disconnect")
    assert warnings_in(caplog) == REFUSED


def test_what_is_read_past_after_the_response_does_not_count(serve: Serve, connect: Connect) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"early")

    client = connect(serve(app, limit_request_body=LIMIT))
    client.send(request("POST", "/", CHUNKED))
    assert client.read_response().body == b"early"
    client.send(chunked(b"x" * 10 * LIMIT) + request("POST", "/", "Content-Length: 0"))
    assert client.read_response().body == b"early"


def test_refused_requests_leave_nothing_in_flight(serve: Serve, connect: Connect) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(Disconnected):
            await echo_body(scope, receive, send)

    server = serve(app, limit_request_body=LIMIT, limit_concurrency=1)
    for _ in range(3):
        client = connect(server)
        client.send(post("/", b"x" * (LIMIT + 1)))
        assert client.read_response().status == 413
        client = connect(server)
        client.send(post_chunked("/", b"x" * (LIMIT + 1)))
        assert client.read_response().status == 413
        client = connect(server)
        client.send(request("POST", "/", CHUNKED, EXPECT))
        assert client.reader.head().status == 100
        client.send(chunked(b"x" * (LIMIT + 1)))
        assert client.read_response().status == 413
        client = connect(server)
        client.send(post("/", b"fine"))
        assert client.read_response().body == b"fine"
