"""What a server must not be lenient with (RFC 9112): refused, closed, and never shown to the application."""

import pytest
from support.apps import Disconnected, Recorder, hello, read_body
from support.embedded_server import EmbeddedServer, Serve, servers
from support.error_log import ErrorLog
from support.raw_client import Connect, RawClient, clients, request
from support.refusals import BODIES, HEADS, LEFT_OPEN, Refusal
from support.responses import Response

from threadserve.types import Receive, Scope, Send

SMUGGLED = request("GET", "/smuggled")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers only when it has the whole body."""
    try:
        await read_body(receive)
    except Disconnected:
        return
    await hello(scope, receive, send)


@pytest.fixture(scope="module")
def shared_recorder() -> Recorder:
    return Recorder(app)


@pytest.fixture(scope="module")
def server(serve_shared: Serve, shared_recorder: Recorder) -> EmbeddedServer:
    return serve_shared(shared_recorder)


@pytest.fixture
def recorder(shared_recorder: Recorder) -> Recorder:
    shared_recorder.clear()
    return shared_recorder


@pytest.fixture(scope="module")
def shared_body_recorder() -> Recorder:
    """For requests that the application may see before they are refused, and so also a moment after."""
    return Recorder(app)


@pytest.fixture(scope="module")
def body_server(serve_shared: Serve, shared_body_recorder: Recorder) -> EmbeddedServer:
    return serve_shared(shared_body_recorder)


@pytest.fixture
def body_recorder(shared_body_recorder: Recorder) -> Recorder:
    shared_body_recorder.clear()
    return shared_body_recorder


def assert_refused(client: RawClient, statuses: set[int]) -> Response:
    """One answer with one line that says what is wrong, then the end, although more was sent."""
    response = client.read_response()
    assert response.status in statuses
    assert response.header("connection") == b"close"
    assert (response.header("content-type") or b"").startswith(b"text/plain")
    assert response.body.strip()
    assert response.body.rstrip(b"\n").count(b"\n") == 0
    assert client.is_closed()
    return response


@pytest.mark.parametrize("refusal", HEADS, ids=[refusal.name for refusal in HEADS])
def test_bad_head_is_refused(server: EmbeddedServer, recorder: Recorder, connect: Connect, refusal: Refusal) -> None:
    client = connect(server)
    client.send(refusal.data + SMUGGLED * 3)
    assert_refused(client, refusal.statuses)
    assert recorder.scopes == []


@pytest.mark.parametrize("refusal", BODIES, ids=[refusal.name for refusal in BODIES])
def test_bad_chunked_body_is_refused(
    body_server: EmbeddedServer, body_recorder: Recorder, connect: Connect, refusal: Refusal
) -> None:
    """The application may have seen the head, but never a complete body."""
    client = connect(body_server)
    client.send(refusal.data + SMUGGLED * 3)
    assert_refused(client, refusal.statuses)
    assert body_recorder.bodies == []
    assert "/smuggled" not in [scope["path"] for scope in body_recorder.scopes]


SIZE, EXTENSION, LONG = b"size", b"extension", b"the line of a chunk size is longer than 1024 bytes"
DIGITS = b"a chunk size has more than 15 digits"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"\r\n", (0x0D, 0, SIZE)), (b" 3\r\n", (0x20, 0, SIZE)), (b"-3\r\n", (0x2D, 0, SIZE)), (b"\0", (0, 0, SIZE)),
        (b"0x3\r\n", (0x78, 1, SIZE)), (b"3 \r\n", (0x20, 1, SIZE)), (b"3\n", (0x0A, 1, SIZE)),
        (b"3\rX", (0x0D, 1, SIZE)),
        (b"3\x01", (1, 1, SIZE)), (b"3=a\r\n", (0x3D, 1, SIZE)), (b"3;\r\n", (0x0D, 2, EXTENSION)),
        (b"3;;a\r\n", (0x3B, 2, EXTENSION)), (b"3;a \r\n", (0x20, 3, EXTENSION)), (b"3;a=\r\n", (0x0D, 4, EXTENSION)),
        (b"3;a=b=c\r\n", (0x3D, 5, EXTENSION)), (b"3;a;b c\r\n", (0x20, 5, EXTENSION)),
        (b'3;a="b\r\n', (0x0D, 6, EXTENSION)), (b'3;a="b"c\r\n', (0x63, 7, EXTENSION)),
        (b"3;a\n", (0x0A, 3, EXTENSION)),
        (b'3;a="\\\r\n', (0x0D, 6, EXTENSION)), (b"3;a\0", (0, 3, EXTENSION)), (b"3;a\rb\r\n", (0x0D, 3, EXTENSION)),
        (b"f" * 16 + b"\r\n", DIGITS), (b"0" * 15 + b"3\r\n", DIGITS), (b"3" * 1100, DIGITS),
        (b"3;" + b"a" * 1030 + b"\r\n", LONG), (b'3;a="' + b"b" * 1100, LONG), (b"3;" + b"a" * 1030 + b"\r", LONG),
        (b"3;a=" + b" " * 1100, LONG),
    ],
)  # fmt: skip
def test_reason_names_what_is_wrong_with_a_chunk_line(
    body_server: EmbeddedServer, connect: Connect, line: bytes, fault: tuple[int, int, bytes] | bytes
) -> None:
    client = connect(body_server)
    client.send(request("POST", "/", "Transfer-Encoding: chunked") + line)
    told = fault if isinstance(fault, bytes) else b"byte 0x%02x at position %d is not allowed in a chunk %b" % fault
    assert assert_refused(client, {400}).body.endswith(told + b"\n")


@pytest.mark.parametrize("refusal", HEADS, ids=[refusal.name for refusal in HEADS])
def test_bad_head_after_a_good_request_is_refused(
    server: EmbeddedServer, recorder: Recorder, connect: Connect, refusal: Refusal
) -> None:
    client = connect(server)
    client.send(request("GET", "/good") + refusal.data + SMUGGLED)
    assert client.read_response().body == b"/good"
    assert_refused(client, refusal.statuses)
    assert [scope["path"] for scope in recorder.scopes] == ["/good"]


BY_BYTES = [refusal for refusal in [*HEADS, *BODIES] if len(refusal.data) < 300]


@pytest.mark.parametrize("refusal", BY_BYTES, ids=[refusal.name for refusal in BY_BYTES])
def test_bad_request_is_refused_just_so_when_it_comes_byte_by_byte(
    body_server: EmbeddedServer, body_recorder: Recorder, connect: Connect, refusal: Refusal
) -> None:
    client = connect(body_server)
    for value in refusal.data:
        client.send(bytes([value]))
    client.send(SMUGGLED)
    assert_refused(client, refusal.statuses)
    assert body_recorder.bodies == []
    assert "/smuggled" not in [scope["path"] for scope in body_recorder.scopes]


def test_answer_is_not_lost_when_the_client_goes_on_sending(
    server: EmbeddedServer, recorder: Recorder, connect: Connect
) -> None:
    """A server that closed with bytes unread would reset the connection and with it the answer."""
    client = connect(server)
    client.send(b"GET /refused HTTP/1.1\r\n\r\n" + b"x" * 500_000)
    client.send(b"y" * 500_000)
    assert_refused(client, {400})
    assert recorder.scopes == []


def test_refusal_in_the_middle_of_a_response_ends_the_connection(serve: Serve, connect: Connect) -> None:
    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        try:
            await read_body(receive)
        except Disconnected:
            return
        await send({"type": "http.response.body", "body": b"x" * 96})

    client = connect(serve(streaming))
    client.send(request("POST", "/", "Transfer-Encoding: chunked"))
    assert client.reader.head().status == 200
    assert client.reader.take(4) == b"part"
    client.send(b"G\r\n" + SMUGGLED)
    assert client.read_all() == b""


def test_tls_is_refused_at_once(server: EmbeddedServer, recorder: Recorder, connect: Connect) -> None:
    client = connect(server)
    client.send(bytes.fromhex("16030102000100 01fc0303") + bytes(range(0x20, 0x60)) + b"\x13\x01\x13\x02")
    assert_refused(client, {400})
    assert recorder.scopes == []


@pytest.mark.parametrize("garbage", [b"\x00", b"\x80\x81", b"SSH-2.0-x\r\n", b"{}\r\n", b"\xff\xfe"])
def test_garbage_is_refused_at_once(
    server: EmbeddedServer, recorder: Recorder, connect: Connect, garbage: bytes
) -> None:
    client = connect(server)
    client.send(garbage)
    assert_refused(client, {400})
    assert recorder.scopes == []


def test_what_rfc_9112_leaves_open_ends_the_same_over_all_parsers(error_log: ErrorLog) -> None:
    with servers(threads=1, lifespan="off") as start, clients() as connect:
        all_servers = [start(app, http=name) for name in ("auto", "h11", "httptools")]
        for data in LEFT_OPEN:
            outcomes = []
            for server in all_servers:
                client = connect(server)
                client.send(data + request("GET", "/next", "Connection: close"))
                response = client.read_response()
                outcomes.append((data, response.status, response.body, client.read_all()[:12]))
            assert outcomes == outcomes[:1] * 3
