"""Requests that are refused: the application never sees them, and their connection goes on (RFC 9113 sections 8.1-8.3).

A malformed request has its stream reset; one that is only not served here is answered.
"""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import RstStreamFrame, SettingsFrame
from support.access_console import Seen, errors_seen
from support.apps import Disconnected, Gate, Recorder, echo_body, hello, respond
from support.bounds import give_bounds
from support.embedded_server import EmbeddedServer, Serve
from support.http2_client import ConnectH2, H2Client

from threadserve.types import Receive, Scope, Send

Head = list[tuple[str | bytes, str | bytes]]
METHOD: Head = [(":method", "GET")]
SCHEME: Head = [(":scheme", "http")]
AUTHORITY: Head = [(":authority", "example.org")]
PATH: Head = [(":path", "/refused")]
GOOD: Head = [*METHOD, *SCHEME, *AUTHORITY, *PATH]
POST: Head = [(":method", "POST"), *SCHEME, *AUTHORITY, *PATH]
HEAD: Head = [(":method", "HEAD"), *SCHEME, *AUTHORITY, *PATH]
CONNECT: Head = [(":method", "CONNECT"), *SCHEME, *AUTHORITY, *PATH]


def with_path(path: str | bytes, method: str = "GET") -> Head:
    """A request for a path, whatever that is."""
    return [(":method", method), *SCHEME, *AUTHORITY, (":path", path)]


def with_method(method: str | bytes) -> Head:
    """A request by a method, whatever that is."""
    return [(":method", method), *SCHEME, *AUTHORITY, *PATH]


def with_authority(authority: str | bytes, *more: tuple[str, str]) -> Head:
    """A request of an authority, whatever that is."""
    return [*METHOD, *SCHEME, (":authority", authority), *PATH, *more]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(hello)


@pytest.fixture
def client(serve: Serve, connect_h2: ConnectH2, recorder: Recorder) -> H2Client:
    return connect_h2(serve(recorder))


@pytest.fixture
def warnings() -> Iterator[Seen]:
    with errors_seen() as seen:
        yield seen


async def app_that_reads(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends a body back, unless the client disconnects before that is complete."""
    with suppress(Disconnected):
        await echo_body(scope, receive, send)


def check_goes_on(client: H2Client, recorder: Recorder) -> None:
    """Checks that the application has seen nothing yet, and that the connection is still good for a request."""
    assert recorder.scopes == []
    assert client.get("/fine").body == b"/fine"
    assert [scope["path"] for scope in recorder.scopes] == ["/fine"]
    assert client.goaways == []


def assert_reset(client: H2Client, stream_id: int) -> None:
    """Asserts that a request was refused by a reset, and gets no answer."""
    response = client.read(stream_id)
    assert not response.status
    codes = [frame.error_code for frame in client.frames if isinstance(frame, RstStreamFrame)]
    # What was under way then may be answered with another.
    assert codes[0] == ErrorCodes.PROTOCOL_ERROR


def check_reset(client: H2Client, recorder: Recorder, stream_id: int) -> None:
    """Checks that a request was refused by a reset, unanswered."""
    assert_reset(client, stream_id)
    check_goes_on(client, recorder)


PSEUDO: dict[str, Head] = {
    "nothing": [],
    "no pseudo-header": [("host", "example.org")],
    "no method": [*SCHEME, *AUTHORITY, *PATH],
    "no scheme": [*METHOD, *AUTHORITY, *PATH],
    "no path": [*METHOD, *SCHEME, *AUTHORITY],
    "two methods": [*METHOD, *METHOD, *SCHEME, *AUTHORITY, *PATH],
    "two schemes": [*METHOD, *SCHEME, *SCHEME, *AUTHORITY, *PATH],
    "two authorities": [*METHOD, *SCHEME, *AUTHORITY, *AUTHORITY, *PATH],
    "two paths": [*METHOD, *SCHEME, *AUTHORITY, *PATH, *PATH],
    "unknown": [*GOOD, (":unknown", "1")],
    "of a response": [*GOOD, (":status", "200")],
    "without a name": [*GOOD, (":", "1")],
    "upper-case": [(":Method", "GET"), *SCHEME, *AUTHORITY, *PATH],
    "method late": [*SCHEME, *AUTHORITY, *PATH, ("x-a", "1"), *METHOD],
    "scheme late": [*METHOD, *AUTHORITY, *PATH, ("x-a", "1"), *SCHEME],
    "authority late": [*METHOD, *SCHEME, *PATH, ("x-a", "1"), *AUTHORITY],
    "path late": [*METHOD, *SCHEME, *AUTHORITY, ("x-a", "1"), *PATH],
    "again, late": [*GOOD, ("x-a", "1"), *PATH],
    "protocol of a GET": [*GOOD, (":protocol", "websocket")],
    "empty method": with_method(""),
    "space in the method": with_method("GET "),
    "slash in the method": with_method("G/T"),
    "method that is not ASCII": with_method(b"G\xc3\xa4T"),
    "two requests in the method": with_method("GET / HTTP/1.1\r\nhost: x\r\n\r\nGET"),
}


@pytest.mark.parametrize("head", PSEUDO.values(), ids=PSEUDO.keys())
def test_malformed_pseudo_headers(client: H2Client, recorder: Recorder, head: Head) -> None:
    check_reset(client, recorder, client.open_with(head))


@pytest.mark.parametrize("head", [POST[1:], [*POST, ("X-A", "1")]], ids=["no method", "upper-case name"])
def test_malformed_request_with_a_body(client: H2Client, recorder: Recorder, head: Head) -> None:
    stream_id = client.open_with(head, ends=False)
    client.send_data(stream_id, b"x" * 1000)
    client.send_data(stream_id, b"x" * 1000, ends=True)
    check_reset(client, recorder, stream_id)


@pytest.mark.parametrize(
    "name",
    [
        b"", b"X-A", b"x-A", b"x a", b" x-a", b"x-a ", b"x-a\t", b"x\0a", b"x-a\r", b"x-a\n", b"x-a\r\nx-b", b"x\x7fa",
        b"x\x01a", b"x(a", b"x,a", b"x/a", b"x:a", b"x;a", b"x=a", b"x@a", b"x[a", b'x"a', b"x{a", b"x\xc3\xa4",
        b"\xff", b"Content-Length", b"Host", b"transfer-encoding ", b"content-length:",
    ],
)  # fmt: skip
def test_malformed_names(client: H2Client, recorder: Recorder, name: bytes) -> None:
    check_reset(client, recorder, client.open_with([*GOOD, (name, b"1")]))


@pytest.mark.parametrize(
    "value",
    [
        b" a", b"a ", b"\ta", b"a\t", b" ", b"\t", b" \t ", b"a\0", b"\0", b"a\0b", b"a\rb", b"a\nb", b"a\r\nx-b: c",
        b"\r", b"\n", b"a\r", b"\na", b"a\r\n\r\nGET /second HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["x-a", "cookie", "host", "priority", "x-forwarded-for"])
def test_malformed_values(client: H2Client, recorder: Recorder, name: str, value: bytes) -> None:
    head = [*METHOD, *SCHEME, *PATH] if name == "host" else GOOD
    check_reset(client, recorder, client.open_with([*head, (name, value)]))


@pytest.mark.parametrize(
    "field",
    [
        ("connection", "close"),
        ("connection", "keep-alive"),
        ("connection", ""),
        ("connection", "te"),
        ("proxy-connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("transfer-encoding", ""),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", ""),
        ("te", "trailers, gzip"),
        ("te", "trailers;q=1"),
    ],
    ids=": ".join,
)
def test_fields_of_http1(client: H2Client, recorder: Recorder, field: tuple[str, str]) -> None:
    check_reset(client, recorder, client.open_with([*GOOD, field]))


@pytest.mark.parametrize(
    "path",
    [
        b"", b"refused", b"?a=b", b"*", b"**", b"*a", b"/a#b", b"/#", b"/a?b#c", b"/a b", b"/ ", b"/a\tb", b"/a\x01",
        b"/a\x7f", b"/\xc3\xa4", b"/\xff", b"/a?\xff", b"/\0", b"/a\r\n", b"/a HTTP/1.1\r\nhost: x\r\n\r\n",
        b"http://example.org/refused", b"example.org:80", b" /a", b"\\a",
    ],
)  # fmt: skip
def test_malformed_paths(client: H2Client, recorder: Recorder, path: bytes) -> None:
    check_reset(client, recorder, client.open_with(with_path(path)))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_asterisk_is_for_options(client: H2Client, recorder: Recorder, method: str) -> None:
    check_reset(client, recorder, client.open_with(with_path("*", method)))


HOSTS: dict[str, Head] = {
    "other host": [*GOOD, ("host", "example.com")],
    "other port": [*GOOD, ("host", "example.org:81")],
    "empty host": [*GOOD, ("host", "")],
    "one equal, one not": [*GOOD, ("host", "example.org"), ("host", "example.com")],
    "list of hosts": [*GOOD, ("host", "example.org, example.org")],
}


@pytest.mark.parametrize("head", HOSTS.values(), ids=HOSTS.keys())
def test_host_that_is_not_the_authority(client: H2Client, recorder: Recorder, head: Head) -> None:
    check_reset(client, recorder, client.open_with(head))


@pytest.mark.parametrize(
    "authority",
    [
        b"user@example.org", b"user:password@example.org", b"@example.org", b"a b", b"a/b", b"a?b", b"a#b", b"a\\b",
        b"http://example.org", b"example.org:port", b"example.org:80:80", b"example.org:-1", b"[::1", b"[]", b"a\xff",
        b"\xc3\xa4", b'"a"', b"<a>",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", [":authority", "host"])
def test_malformed_authorities(client: H2Client, recorder: Recorder, place: str, authority: bytes) -> None:
    head = with_authority(authority) if place == ":authority" else [*METHOD, *SCHEME, *PATH, ("host", authority)]
    response = client.read(client.open_with(head))
    assert (response.status, response.reset) in [(400, None), (0, ErrorCodes.PROTOCOL_ERROR)]
    check_goes_on(client, recorder)


@pytest.mark.parametrize("hosts", [[], ["a", "b"], ["a", "a"]], ids=["none", "two", "one twice"])
def test_no_authority_and_not_one_host(client: H2Client, recorder: Recorder, hosts: list[str]) -> None:
    response = client.read(client.open_with([*METHOD, *SCHEME, *PATH, *[("host", host) for host in hosts]]))
    assert response.status == 400
    check_goes_on(client, recorder)


@pytest.mark.parametrize("scheme", ["ftp", "", "httpx", "http:", "ws", "http://"])
def test_unknown_scheme_is_answered(client: H2Client, recorder: Recorder, scheme: str) -> None:
    assert client.read(client.open_with([*METHOD, (":scheme", scheme), *AUTHORITY, *PATH])).status == 400
    check_goes_on(client, recorder)


LENGTHS: list[tuple[str, ...]] = [
    ("five",), ("-1",), ("-0",), ("+5",), ("0x5",), ("5.0",), ("5,5",), ("5, 6",), ("",), ("5 5",), ("1e1",), ("5_0",),
    ("9" * 30,), ("5", "6"), ("5", "5"), ("\xb2",),
]  # fmt: skip


@pytest.mark.parametrize("lengths", LENGTHS, ids=" and ".join)
@pytest.mark.parametrize("has_body", [True, False], ids=["body", "no body"])
def test_malformed_lengths(client: H2Client, recorder: Recorder, lengths: tuple[str, ...], has_body: bool) -> None:
    stream_id = client.open_with([*POST, *[("content-length", length) for length in lengths]], ends=not has_body)
    if has_body:
        client.send_data(stream_id, b"12345", ends=True)
    check_reset(client, recorder, stream_id)


@pytest.mark.parametrize("length", ["1", "5", "999999999999999999"])
@pytest.mark.parametrize("head", [GOOD, POST, HEAD], ids=["GET", "POST", "HEAD"])
def test_length_without_a_body(client: H2Client, recorder: Recorder, head: Head, length: str) -> None:
    check_reset(client, recorder, client.open_with([*head, ("content-length", length)]))


def test_length_of_nothing_is_good_without_a_body(client: H2Client, recorder: Recorder) -> None:
    assert client.read(client.open_with([*POST, ("content-length", "0")])).status == 200
    assert len(recorder.scopes) == 1


BODIES = {
    "longer": ("5", [b"123456"]),
    "longer by a part": ("5", [b"12345", b"6"]),
    "longer than nothing": ("0", [b"1"]),
    "shorter": ("5", [b"1234"]),
    "shorter in parts": ("5", [b"12", b"34"]),
    "shorter by all": ("5", [b""]),
}


@pytest.mark.parametrize(("length", "parts"), BODIES.values(), ids=BODIES.keys())
def test_body_that_is_not_as_long_as_said(
    serve: Serve, connect_h2: ConnectH2, warnings: Seen, length: str, parts: list[bytes]
) -> None:
    gate, recorder = Gate(), Recorder(app_that_reads)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await gate.wait()
        await recorder(scope, receive, send)

    client = connect_h2(serve(app))
    stream_id = client.open_with([*POST, ("content-length", length)], ends=False)
    for part in parts[:-1]:
        client.send_data(stream_id, part)
    client.send_data(stream_id, parts[-1], ends=True)
    assert_reset(client, stream_id)
    gate.open()
    # No body that is taken for a whole one comes to the application.
    assert client.get("/fine").status == 200
    assert set(recorder.bodies) == {b""}
    (warning,) = warnings.messages
    assert "a body that is not as long as its content-length" in warning


TRAILERS: dict[str, Head] = {
    "pseudo-header": [(":path", "/other")],
    "unknown pseudo-header": [(":unknown", "1")],
    "late pseudo-header": [("x-a", "1"), (":status", "200")],
    "upper-case name": [("X-A", "1")],
    "empty name": [("", "1")],
    "LF in a value": [("x-a", "1\n2")],
    "connection": [("connection", "close")],
    "transfer-encoding": [("transfer-encoding", "chunked")],
}


@pytest.mark.parametrize("trailers", TRAILERS.values(), ids=TRAILERS.keys())
def test_malformed_trailers(serve: Serve, connect_h2: ConnectH2, trailers: Head) -> None:
    recorder = Recorder(app_that_reads)
    client = connect_h2(serve(recorder))
    stream_id = client.open_with(POST, ends=False)
    client.send_data(stream_id, b"12345")
    client.send_block(stream_id, trailers)
    assert_reset(client, stream_id)
    assert recorder.bodies == []
    assert client.get("/fine").status == 200


def test_trailers_of_a_body_that_is_too_short(serve: Serve, connect_h2: ConnectH2) -> None:
    recorder = Recorder(app_that_reads)
    client = connect_h2(serve(recorder))
    stream_id = client.open_with([*POST, ("content-length", "6")], ends=False)
    client.send_data(stream_id, b"12345")
    client.send_block(stream_id, [("x-a", "1")])
    assert_reset(client, stream_id)
    assert recorder.bodies == []
    assert client.get("/fine").status == 200


UNSERVED: dict[str, Head] = {
    "CONNECT": [(":method", "CONNECT"), *AUTHORITY],
    "CONNECT with a path": CONNECT,
    "CONNECT for another protocol": [*CONNECT, (":protocol", "connect-udp")],
    "CONNECT for no protocol": [*CONNECT, (":protocol", "")],
    "CONNECT for WebSocket by another name": [*CONNECT, (":protocol", "WebSocket")],
    "unknown method": with_method("FOO"),
    "lower-case method": with_method("get"),
    "method with a letter too many": with_method("GETT"),
    "PRI": with_method("PRI"),
}


@pytest.mark.parametrize("head", UNSERVED.values(), ids=UNSERVED.keys())
@pytest.mark.parametrize("has_body", [True, False], ids=["body", "no body"])
def test_methods_that_are_not_served(client: H2Client, recorder: Recorder, head: Head, has_body: bool) -> None:
    stream_id = client.open_with(head, ends=not has_body)
    response = client.read(stream_id)
    assert response.status == 501
    assert response.header("content-type") == b"text/plain; charset=utf-8"
    assert response.body
    if has_body:
        client.read_until(lambda: response.reset is not None)
        assert response.reset == ErrorCodes.NO_ERROR
    check_goes_on(client, recorder)


def test_refused_request_with_a_body_is_answered_to_a_client_that_takes_nothing_yet(
    serve: Serve, connect_h2: ConnectH2, recorder: Recorder
) -> None:
    client = connect_h2(serve(recorder), {SettingsFrame.INITIAL_WINDOW_SIZE: 0})
    stream_id = client.open_with(with_method("FOO"), ends=False)
    client.send_data(stream_id, b"12345", ends=True)
    client.synchronize()
    client.widen(65535, stream_id)
    response = client.read(stream_id)
    assert (response.status, response.reset) == (501, None)
    assert response.body
    assert recorder.scopes == []


HEADS: dict[str, tuple[int, Head]] = {
    "fields": (431, [*HEAD, *[("x-a", "1")] * 11]),
    "CONNECT": (501, [(":method", "CONNECT"), *AUTHORITY]),
    "scheme": (400, [(":method", "HEAD"), (":scheme", "ftp"), *AUTHORITY, *PATH]),
}


@pytest.mark.parametrize(("status", "head"), HEADS.values(), ids=HEADS.keys())
def test_refused_head_gets_no_body(
    serve: Serve, connect_h2: ConnectH2, recorder: Recorder, status: int, head: Head
) -> None:
    client = connect_h2(serve(recorder, limit_request_header_fields=10))
    response = client.read(client.open_with(head))
    assert response.status == status
    assert bool(response.body) is (head[0] != (":method", "HEAD"))
    assert response.is_complete
    check_goes_on(client, recorder)


def test_too_many_fields(serve: Serve, connect_h2: ConnectH2, recorder: Recorder, warnings: Seen) -> None:
    client = connect_h2(serve(recorder, limit_request_header_fields=10))
    assert client.read(client.open_with([*GOOD, *[("x-a", "1")] * 11])).status == 431
    check_goes_on(client, recorder)
    (warning,) = warnings.messages
    assert warning.startswith("Refused an HTTP request from 127.0.0.1:")
    assert ": 431, more than 10 header fields" in warning
    assert client.read(client.open_with([*GOOD, *[("x-a", "1")] * 10])).status == 200


@pytest.mark.parametrize("place", ["field", "path", "fields", "name", "cookies"])
def test_head_that_is_too_large(serve: Serve, connect_h2: ConnectH2, recorder: Recorder, place: str) -> None:
    client = connect_h2(serve(recorder, limit_request_header_size=4096))
    assert client.settings.get(SettingsFrame.MAX_HEADER_LIST_SIZE) is None
    heads: dict[str, Head] = {
        "field": [*GOOD, ("x-a", "1" * 4090)],
        "path": with_path("/" + "a" * 4096),
        "fields": [*GOOD, *[("x-a", "1" * 100)] * 45],
        "name": [*GOOD, ("x" * 4095, "1")],
        "cookies": [*GOOD, *[("cookie", "a" * 100)] * 45],
    }
    assert client.read(client.open_with(heads[place])).status == 431
    check_goes_on(client, recorder)
    assert client.settings[SettingsFrame.MAX_HEADER_LIST_SIZE] == 4096
    assert client.read(client.open_with([*GOOD, ("x-a", "1" * 3900)])).status == 200


def test_limit_of_concurrency_holds_for_each_request(serve: Serve, connect_h2: ConnectH2) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            await gate.wait()
        await respond(send, b"served")

    client = connect_h2(serve(app, limit_concurrency=2))
    waiting = [client.open("/wait"), client.open("/wait")]
    gate.wait_for_arrivals(2)
    refused = [client.get("/refused"), client.get("/refused", method="HEAD")]
    assert [response.status for response in refused] == [503, 503]
    assert [bool(response.body) for response in refused] == [True, False]
    gate.open()
    assert [client.read(stream_id).status for stream_id in waiting] == [200, 200]
    assert client.get("/fine").status == 200


def test_refused_requests_give_their_places_back(serve: Serve, connect_h2: ConnectH2) -> None:
    """WebSockets that are refused as well: their place was taken before their handshake is read."""
    client = connect_h2(serve(hello, limit_concurrency=1))
    for _ in range(3):
        assert client.read(client.open_with([*GOOD, ("X-A", "1")])).reset == ErrorCodes.PROTOCOL_ERROR
        assert client.read(client.open_with(with_method("FOO"))).status == 501
        assert client.read(client.open_with([*CONNECT, (":protocol", "websocket")])).status == 426
        assert client.get("/fine").status == 200


def test_too_many_malformed_requests_end_the_connection(
    serve: Serve, connect_h2: ConnectH2, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, max_resets=5)
    server: EmbeddedServer = serve(recorder)
    client = connect_h2(server)
    for _ in range(5):
        assert client.read(client.open_with([*GOOD, ("X-A", "1")])).reset == ErrorCodes.PROTOCOL_ERROR
    client.open_with([*GOOD, ("X-A", "1")])
    assert client.read_goaway().error_code == ErrorCodes.ENHANCE_YOUR_CALM
    client.read_to_end()
    assert recorder.scopes == []
    assert connect_h2(server).get("/fine").body == b"/fine"


def test_good_requests_that_come_with_a_malformed_one(client: H2Client, recorder: Recorder) -> None:
    """All of them in one write, whose blocks build on each other's entries in the table."""
    frames = []
    for number in range(9):
        head: Head = [*METHOD, *SCHEME, *AUTHORITY, (":path", f"/{number}"), ("x-own", f"{number}")]
        if number % 3 == 1:
            head.append(("Bad", f"{number}"))
        frames += client.block_frames(1 + 2 * number, head)
    client.send_frame(*frames)
    responses = [client.read(1 + 2 * number) for number in range(9)]
    assert [response.reset is not None for response in responses] == [number % 3 == 1 for number in range(9)]
    served = [number for number in range(9) if number % 3 != 1]
    assert [responses[number].body for number in served] == [f"/{number}".encode() for number in served]
    assert [dict(scope["headers"])[b"x-own"] for scope in recorder.scopes] == [b"%d" % number for number in served]
