"""The limits on heads, on requests in flight and on requests in all."""

import pytest
from support.apps import Gate, Recorder, hello, respond
from support.embedded_server import EmbeddedServer, Serve
from support.raw_client import Connect, RawClient, request
from support.waiting import wait_until

from threadserve.types import Receive, Scope, Send

SIZE, FIELDS = 2000, 20


@pytest.fixture(scope="module")
def shared_recorder() -> Recorder:
    return Recorder(hello)


@pytest.fixture(scope="module")
def server(serve_shared: Serve, shared_recorder: Recorder) -> EmbeddedServer:
    return serve_shared(shared_recorder, limit_request_header_size=SIZE, limit_request_header_fields=FIELDS)


@pytest.fixture
def recorder(shared_recorder: Recorder) -> Recorder:
    shared_recorder.clear()
    return shared_recorder


def head_of(size: int, *, in_target: bool = False) -> bytes:
    """A head of exactly `size` bytes, its empty line included, long for its target or for a field."""
    empty = request("GET", "/", "X-Long: ")
    padding = "x" * (size - len(empty))
    return request("GET", "/" + padding, "X-Long: ") if in_target else request("GET", "/", "X-Long: " + padding)


def assert_closed_with(client: RawClient, status: int) -> None:
    response = client.read_response()
    assert (response.status, response.header("connection")) == (status, b"close")
    assert response.body.strip()
    assert client.is_closed()


@pytest.mark.parametrize("in_target", [True, False])
def test_head_of_the_largest_size_is_taken(
    server: EmbeddedServer, recorder: Recorder, connect: Connect, in_target: bool
) -> None:
    client = connect(server)
    for _ in range(2):
        client.send(head_of(SIZE, in_target=in_target))
        assert client.read_response().status == 200
    head = head_of(SIZE, in_target=in_target)
    for at in range(0, SIZE, 100):
        client.send(head[at : at + 100])
    assert client.read_response().status == 200
    client.send(head * 3)
    assert [client.read_response().status for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize(("excess", "in_target", "status"), [(1, False, 431), (SIZE, False, 431), (SIZE, True, 414)])
@pytest.mark.parametrize("pieces", [1, 40])
def test_larger_head_is_refused(
    server: EmbeddedServer,
    recorder: Recorder,
    connect: Connect,
    excess: int,
    in_target: bool,
    status: int,
    pieces: int,
) -> None:
    client = connect(server)
    head = head_of(SIZE + excess, in_target=in_target)
    step = -(-len(head) // pieces)
    for at in range(0, len(head), step):
        client.send(head[at : at + step])
    assert_closed_with(client, status)
    assert recorder.scopes == []


@pytest.mark.parametrize(("in_target", "status"), [(True, 414), (False, 431)])
def test_head_without_end_is_refused_as_soon_as_it_is_too_large(
    server: EmbeddedServer, recorder: Recorder, connect: Connect, in_target: bool, status: int
) -> None:
    client = connect(server)
    client.send(head_of(10 * SIZE, in_target=in_target)[: SIZE + 200])
    assert_closed_with(client, status)
    assert recorder.scopes == []


def test_large_head_in_a_pipeline_is_refused_in_its_turn(
    server: EmbeddedServer, recorder: Recorder, connect: Connect
) -> None:
    client = connect(server)
    client.send(request("GET", "/1") + request("GET", "/2") + head_of(2 * SIZE) + request("GET", "/smuggled"))
    assert [client.read_response().body for _ in range(2)] == [b"/1", b"/2"]
    assert_closed_with(client, 431)
    assert [scope["path"] for scope in recorder.scopes] == ["/1", "/2"]


def test_size_of_a_body_does_not_count(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    for _ in range(2):
        client.send(request("POST", "/a", "Content-Length: 100000", body=b"\n" * 100_000))
        assert client.read_response().status == 200


def test_most_fields_are_taken(server: EmbeddedServer, recorder: Recorder, connect: Connect) -> None:
    client = connect(server)
    for _ in range(2):
        assert client.get("/", *(f"X-{number}: a" for number in range(FIELDS - 1))).status == 200
        assert len(recorder.scopes[-1]["headers"]) == FIELDS


@pytest.mark.parametrize("excess", [1, 50])
def test_more_fields_are_refused(server: EmbeddedServer, recorder: Recorder, connect: Connect, excess: int) -> None:
    client = connect(server)
    client.send(request("GET", "/", *(f"X-{number}: a" for number in range(FIELDS - 1 + excess))))
    assert_closed_with(client, 431)
    assert recorder.scopes == []


def test_limits_unless_set(serve: Serve, connect: Connect) -> None:
    server = serve(hello)
    client = connect(server)
    client.send(head_of(60_000))
    assert client.read_response().status == 200
    assert client.get("/", *(f"X-{number}: a" for number in range(99))).status == 200
    client.send(request("GET", "/", *(f"X-{number}: a" for number in range(100))))
    assert_closed_with(client, 431)
    client = connect(server)
    client.send(head_of(66_000))
    assert_closed_with(client, 431)


def test_h11_has_a_limit_of_its_own(serve: Serve, connect: Connect, parser: str) -> None:
    client = connect(serve(hello, h11_max_incomplete_event_size=SIZE))
    client.send(head_of(SIZE + 500)[:-1])
    if parser == "h11":
        assert_closed_with(client, 431)
    else:
        client.send(b"\n")
        assert client.read_response().status == 200


class Held:
    """Holds requests for /held at a gate, which can be renewed."""

    def __init__(self) -> None:
        self.gate = Gate()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/held":
            await self.gate.wait()
        await respond(send, b"served")


@pytest.mark.parametrize("limit", [1, 3])
def test_limit_concurrency_admits_just_so_many(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture, limit: int
) -> None:
    app = Held()
    recorder = Recorder(app)
    server = serve(recorder, limit_concurrency=limit)
    idle = [connect(server) for _ in range(limit + 2)]
    assert [client.get().status for client in idle] == [200] * len(idle)
    for _ in range(2):
        recorder.clear()
        app.gate = Gate()
        held = [connect(server) for _ in range(limit)]
        for client in held:
            client.send(request("GET", "/held"))
        app.gate.wait_for_arrivals(limit)
        refused = connect(server).get("/refused")
        assert (refused.status, refused.reason) == (503, "Service Unavailable")
        assert (refused.header("content-type") or b"").startswith(b"text/plain")
        assert len(recorder.scopes) == limit
        (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert line.startswith("Refused an HTTP request from 127.0.0.1:")
        assert line.endswith(": 503, Service Unavailable: too many requests in flight")
        caplog.clear()
        app.gate.open()
        assert [client.read_response().body for client in held] == [b"served"] * limit
    assert connect(server).get().status == 200


def test_request_refused_for_concurrency_does_not_corrupt_the_next(serve: Serve, connect: Connect) -> None:
    app = Held()
    server = serve(app, limit_concurrency=1)
    holder, client = connect(server), connect(server)
    holder.send(request("GET", "/held"))
    app.gate.wait_for_arrivals()
    client.send(request("POST", "/refused", "Content-Length: 50000", body=request("GET", "/smuggled").ljust(50_000)))
    response = client.read_response()
    assert response.status == 503
    app.gate.open()
    assert holder.read_response().body == b"served"
    if response.says_close:
        assert client.is_closed()
    else:
        assert client.get().body == b"served"


def test_one_connection_with_a_pipeline_is_one_request_in_flight(serve: Serve, connect: Connect) -> None:
    client = connect(serve(hello, limit_concurrency=1))
    client.send(request("GET", "/a") * 10)
    assert [client.read_response().status for _ in range(10)] == [200] * 10


def test_limit_max_requests_stops_the_server_after_them(serve: Serve, connect: Connect) -> None:
    server = serve(hello, limit_max_requests=3)
    client = connect(server)
    assert [client.get(f"/{number}").body for number in range(3)] == [b"/0", b"/1", b"/2"]
    assert client.is_closed()
    wait_until(lambda: not server.thread.is_alive(), "the server to stop")
