"""What applications are told of requests over HTTP/2: the connection scope, and what HTTP/1.1 would have said instead.

The basics are in `test_http2_basics`.
"""

import copy
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from support.apps import Recorder, body, echo_body, hello, respond, start
from support.embedded_server import Serve
from support.http2_client import ConnectH2, H2Client
from support.waiting import DEADLINE

from threadserve.types import Headers, Receive, Scope, Send

BEGIN = [(":method", "GET"), (":scheme", "http"), (":path", "/")]


def headers_of(recorder: Recorder) -> Headers:
    """The headers of the only request."""
    (scope,) = recorder.scopes
    headers: Headers = scope["headers"]
    return headers


def test_scope_is_complete(serve: Serve, connect_h2: ConnectH2) -> None:
    recorder = Recorder(hello)
    server = serve(recorder)
    client = connect_h2(server)
    client.get("/a?b=c")
    (scope,) = recorder.scopes
    assert list(scope["state"]) == ["threadserve_stopping"]
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "2",
        "server": (server.host, server.port),
        "client": client.socket.getsockname(),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": "/a",
        "raw_path": b"/a",
        "query_string": b"b=c",
        "headers": [(b"host", b"example.org")],
        "state": scope["state"],
        "extensions": {
            "http.response.trailers": {},
            "http.response.early_hint": {},
            "threadserve.cancel_on_disconnect": {"default": False},
        },
    }


HOSTS: dict[str, tuple[list[tuple[str, str]], list[tuple[bytes, bytes]]]] = {
    "authority": (
        [*BEGIN, (":authority", "example.org"), ("x-a", "1")],
        [(b"host", b"example.org"), (b"x-a", b"1")],
    ),
    "authority and host": (
        [*BEGIN, (":authority", "example.org"), ("x-a", "1"), ("host", "example.org"), ("x-b", "2")],
        [(b"host", b"example.org"), (b"x-a", b"1"), (b"x-b", b"2")],
    ),
    "the same in other letters": (
        [*BEGIN, (":authority", "example.org"), ("host", "Example.ORG")],
        [(b"host", b"example.org")],
    ),
    "host twice": (
        [*BEGIN, (":authority", "example.org"), ("host", "example.org"), ("host", "example.org")],
        [(b"host", b"example.org")],
    ),
    "only host": (
        [*BEGIN, ("x-a", "1"), ("host", "example.org"), ("x-b", "2")],
        [(b"host", b"example.org"), (b"x-a", b"1"), (b"x-b", b"2")],
    ),
    "port": ([*BEGIN, (":authority", "example.org:81")], [(b"host", b"example.org:81")]),
    "address": ([*BEGIN, (":authority", "[::1]:81")], [(b"host", b"[::1]:81")]),
    "authority first": (
        [(":authority", "example.org"), *BEGIN],
        [(b"host", b"example.org")],
    ),
}


@pytest.mark.parametrize(("head", "expected"), HOSTS.values(), ids=HOSTS.keys())
def test_authority_is_the_first_field(
    serve: Serve, connect_h2: ConnectH2, head: list[tuple[str, str]], expected: list[tuple[bytes, bytes]]
) -> None:
    recorder = Recorder(hello)
    client = connect_h2(serve(recorder))
    assert client.read(client.open_with(head)).status == 200
    assert headers_of(recorder) == expected


def test_pieces_of_cookies_are_joined(serve: Serve, connect_h2: ConnectH2) -> None:
    recorder = Recorder(hello)
    client = connect_h2(serve(recorder))
    client.get("/", [("cookie", "a=b"), ("x-a", "1"), ("cookie", "c=d; e=f"), ("cookie", "g=h")])
    headers = headers_of(recorder)
    assert [value for name, value in headers if name == b"cookie"] == [b"a=b; c=d; e=f; g=h"]
    assert len(headers) == 3


def test_other_fields_stay_apart_and_in_order(serve: Serve, connect_h2: ConnectH2) -> None:
    recorder = Recorder(hello)
    client = connect_h2(serve(recorder))
    fields = [("x-b", "1"), ("x-a", "2"), ("x-b", "1"), ("accept", "a/b"), ("x-b", ""), ("x-c", "\xe4 \x80,")]
    client.get("/", fields)
    expected = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    headers = headers_of(recorder)
    assert headers[1:] == expected
    assert copy.deepcopy(headers) == headers
    assert {type(part) for field in headers for part in field} == {bytes}


@pytest.mark.parametrize("te", ["trailers", "Trailers"])
def test_te_arrives(serve: Serve, connect_h2: ConnectH2, te: str) -> None:
    recorder = Recorder(hello)
    assert connect_h2(serve(recorder)).get("/", [("te", te)]).status == 200
    assert (b"te", te.encode()) in headers_of(recorder)


@pytest.mark.parametrize("field", [("accept-encoding", "gzip"), ("priority", "u=1"), ("content-type", "a/b")])
def test_usual_fields_arrive(serve: Serve, connect_h2: ConnectH2, field: tuple[str, str]) -> None:
    recorder = Recorder(hello)
    assert connect_h2(serve(recorder)).get("/", [field]).status == 200
    assert headers_of(recorder)[1:] == [(field[0].encode(), field[1].encode())]


PATHS = [
    ("/", "/", b"/", b""),
    ("/?", "/", b"/", b""),
    ("/a%20b", "/a b", b"/a%20b", b""),
    ("/%C3%A4", "/ä", b"/%C3%A4", b""),
    ("/a%2Fb?c%20d", "/a/b", b"/a%2Fb", b"c%20d"),
    ("/%00", "/\0", b"/%00", b""),
    ("/a?b?c", "/a", b"/a", b"b?c"),
    ("//a", "//a", b"//a", b""),
    ("/a/../b", "/a/../b", b"/a/../b", b""),
    ("/a?b=%23", "/a", b"/a", b"b=%23"),
    ("/%", "/%", b"/%", b""),
]


@pytest.mark.parametrize(("target", "path", "raw_path", "query"), PATHS)
def test_paths(serve: Serve, connect_h2: ConnectH2, target: str, path: str, raw_path: bytes, query: bytes) -> None:
    recorder = Recorder(hello)
    assert connect_h2(serve(recorder)).get(target).status == 200
    (scope,) = recorder.scopes
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


def test_asterisk(serve: Serve, connect_h2: ConnectH2) -> None:
    recorder = Recorder(hello)
    assert connect_h2(serve(recorder)).get("*", method="OPTIONS").status == 200
    (scope,) = recorder.scopes
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("OPTIONS", "*", b"*")


@pytest.mark.parametrize("method", ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PROPFIND", "PUT", "TRACE"])
def test_methods(serve: Serve, connect_h2: ConnectH2, method: str) -> None:
    recorder = Recorder(hello)
    assert connect_h2(serve(recorder)).get("/", method=method).status == 200
    assert recorder.scopes[0]["method"] == method


@pytest.mark.parametrize("scheme", ["http", "https", "HTTP"])
def test_scheme_is_the_connections(serve: Serve, connect_h2: ConnectH2, scheme: str) -> None:
    """What a client says of it is not believed: it could pass for one over TLS."""
    recorder = Recorder(hello)
    client = connect_h2(serve(recorder))
    head = [(":method", "GET"), (":scheme", scheme), (":path", "/"), (":authority", "example.org")]
    assert client.read(client.open_with(head)).status == 200
    assert recorder.scopes[0]["scheme"] == "http"


def test_root_path(serve: Serve, connect_h2: ConnectH2) -> None:
    recorder = Recorder(hello)
    assert connect_h2(serve(recorder, root_path="/root")).get("/a%20b").body == b"/root/a b"
    (scope,) = recorder.scopes
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/root", "/root/a b", b"/root/a%20b")


FOR = ("x-forwarded-for", "192.0.2.9, 192.0.2.1:5, 127.0.0.1")
PROTO = ("x-forwarded-proto", "https")


def test_proxies_that_are_trusted_are_believed(serve: Serve, connect_h2: ConnectH2) -> None:
    recorder = Recorder(hello)
    client = connect_h2(serve(recorder))
    own = client.socket.getsockname()
    for fields in ([FOR, PROTO], [FOR, PROTO], [("x-forwarded-for", "192.0.2.2")], [], [PROTO]):
        client.get("/", fields)
    assert [scope["client"] for scope in recorder.scopes] == [("192.0.2.1", 5)] * 2 + [("192.0.2.2", 0), own, own]
    assert [scope["scheme"] for scope in recorder.scopes] == ["https", "https", "http", "http", "https"]
    assert recorder.scopes[0]["headers"][1] == (FOR[0].encode(), FOR[1].encode())


def test_forwarded_of_a_request_with_a_body(serve: Serve, connect_h2: ConnectH2) -> None:
    recorder = Recorder(echo_body)
    client = connect_h2(serve(recorder))
    assert client.post("/", b"hello", [FOR, PROTO]).body == b"hello"
    (scope,) = recorder.scopes
    assert (scope["client"], scope["scheme"]) == (("192.0.2.1", 5), "https")


def test_host_that_a_proxy_tells_is_the_only_one(serve: Serve, connect_h2: ConnectH2) -> None:
    recorder = Recorder(hello)
    client = connect_h2(serve(recorder))
    for _ in range(2):
        client.get("/", [("forwarded", "for=192.0.2.1;proto=https;host=example.net")])
    client.get("/")
    hosts = [[value for name, value in scope["headers"] if name == b"host"] for scope in recorder.scopes]
    assert hosts == [[b"example.net"], [b"example.net"], [b"example.org"]]
    assert recorder.scopes[0]["server"] == ("example.net", 443)


@pytest.mark.parametrize("settings", [{"proxy_headers": False}, {"forwarded_allow_ips": "10.0.0.0/8"}])
def test_others_are_not_believed(serve: Serve, connect_h2: ConnectH2, settings: dict[str, Any]) -> None:
    recorder = Recorder(hello)
    client = connect_h2(serve(recorder, **settings))
    client.get("/", [FOR, PROTO])
    (scope,) = recorder.scopes
    assert (scope["client"], scope["scheme"]) == (client.socket.getsockname(), "http")


def test_unix_socket(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recorder = Recorder(hello)
    serve(recorder, uds="s.sock")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE)
        connection.connect("s.sock")
        client = H2Client(connection)
        assert client.get("/a").body == b"/a"
        assert client.read(client.open_with([*BEGIN, ("host", "example.org"), ("Bad", "1")])).reset is not None
        assert client.get("/a", [FOR, PROTO]).body == b"/a"
    first, forwarded = recorder.scopes
    assert (first["client"], first["scheme"]) == (None, "http")
    assert Path(first["server"][0]).name == "s.sock"
    assert first["server"][1] is None
    assert first["http_version"] == "2"
    assert forwarded["scheme"] in ("http", "https")


def test_state_is_each_requests_own(serve: Serve, connect_h2: ConnectH2) -> None:
    shared: list[str] = []
    seen: list[dict[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"].update(kept=1, shared=shared)
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append({key: value for key, value in scope["state"].items() if key != "threadserve_stopping"})
        scope["state"]["kept"] = 2
        scope["state"]["own"] = 3
        await hello(scope, receive, send)

    client = connect_h2(serve(app, lifespan="on"))
    for _ in range(3):
        client.get("/")
    assert seen == [{"kept": 1, "shared": shared}] * 3
    assert all(state["shared"] is shared for state in seen)


def spoil(scope: Scope) -> None:
    """Changes everything in a scope that can be changed."""
    scope["headers"].append((b"x-spoilt", b"1"))
    scope["headers"][0] = (b"host", b"spoilt")
    scope["extensions"]["spoilt"] = {}
    scope["extensions"]["http.response.trailers"]["spoilt"] = True
    scope["state"]["spoilt"] = True
    scope["asgi"]["spoilt"] = True
    scope["path"] = "/spoilt"


@pytest.mark.parametrize("fields", [[], [FOR, PROTO], [("te", "trailers"), ("cookie", "a=b")]])
@pytest.mark.parametrize("has_body", [True, False], ids=["body", "no body"])
def test_requests_share_nothing_that_can_be_changed(
    serve: Serve, connect_h2: ConnectH2, fields: list[tuple[str, str]], has_body: bool
) -> None:
    """Not even those whose header blocks are the same, byte by byte."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # But for the event that all see alike.
        stopping = scope["state"]["threadserve_stopping"]
        seen.append(copy.deepcopy(scope, {id(stopping): stopping}))
        spoil(scope)
        await respond(send, b"ok")

    client = connect_h2(serve(app))
    for _ in range(4):
        response = client.post("/", b"hello", fields) if has_body else client.get("/", fields)
        assert response.status == 200
    assert seen[1:] == seen[:1] * 3
    assert seen[0]["headers"][0] == (b"host", b"example.org")


def test_trailers_are_still_sent_where_the_scope_was_spoilt(serve: Serve, connect_h2: ConnectH2) -> None:
    """A request's fields are looked at when the response starts, and the same block may have come before."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/spoil":
            scope["headers"].clear()
            await respond(send)
            return
        await start(send, trailers=True)
        await body(send, b"one", more=True)
        await body(send, b"two")
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})

    client = connect_h2(serve(app))
    client.get("/spoil", [("te", "trailers")])
    for _ in range(2):
        assert client.get("/", [("te", "trailers")]).trailers == [(b"x-sum", b"1")]


def test_connections_have_their_own_fields(serve: Serve, connect_h2: ConnectH2) -> None:
    """The same bytes mean other fields on another connection, whose table is another."""
    recorder = Recorder(hello)
    server = serve(recorder)
    first, second = connect_h2(server), connect_h2(server)
    for _ in range(3):
        first.get("/", [("x-own", "1")])
        second.get("/", [("x-own", "2")])
    assert [dict(scope["headers"])[b"x-own"] for scope in recorder.scopes] == [b"1", b"2"] * 3


def test_fields_that_push_each_other_out_of_the_table(serve: Serve, connect_h2: ConnectH2) -> None:
    recorder = Recorder(hello)
    client = connect_h2(serve(recorder))
    expected = []
    for number in range(300):
        fields = [(f"x-{number % 7}", "a" * (number % 11 * 100)), ("x-all", str(number % 5)), ("x-same", "1")]
        client.get("/", fields)
        expected.append([(name.encode(), value.encode()) for name, value in fields])
    assert [scope["headers"][1:] for scope in recorder.scopes] == expected


def test_clients_table_may_shrink_and_grow(serve: Serve, connect_h2: ConnectH2) -> None:
    recorder = Recorder(hello)
    client = connect_h2(serve(recorder))
    for size in (4096, 0, 100, 4096, 0, 4096):
        client.encoder.header_table_size = size
        for _ in range(3):
            assert client.get("/", [("x-a", str(size)), ("x-b", "same")]).body == b"/"
    sizes = [dict(scope["headers"])[b"x-a"] for scope in recorder.scopes]
    assert sizes == [str(size).encode() for size in (4096, 0, 100, 4096, 0, 4096) for _ in range(3)]


def test_many_connections_at_once(serve: Serve, connect_h2: ConnectH2) -> None:
    """Each sends the same blocks from a thread of its own, to two loop threads."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, dict(scope["headers"])[b"x-own"])

    server = serve(app, threads=2)
    clients = [connect_h2(server) for _ in range(8)]
    wrong: list[tuple[int, bytes]] = []

    def talk(number: int, client: H2Client) -> None:
        for _ in range(100):
            answer = client.get("/", [("x-own", str(number))]).body
            if answer != str(number).encode():
                wrong.append((number, answer))

    threads = [threading.Thread(target=talk, args=item) for item in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_scope_is_the_same_for_an_application_of_asgi2(serve: Serve, connect_h2: ConnectH2) -> None:
    seen: list[Scope] = []

    def app(scope: Scope) -> Any:
        seen.append(scope)

        async def call(receive: Receive, send: Send) -> None:
            await hello(scope, receive, send)

        return call

    client = connect_h2(serve(app, interface="asgi2"))
    assert client.get("/a").body == b"/a"
    assert seen[0]["http_version"] == "2"
