"""The connection scope (ASGI HTTP spec 2.3), with `path` and `root_path` as Uvicorn gives them."""

import copy
import socket
from typing import Any

import pytest
from support.apps import Recorder, hello, respond
from support.embedded_server import EmbeddedServer, Serve
from support.raw_client import Connect, request

from threadserve.types import Receive, Scope, Send


class Scopes(Recorder):
    """An application that remembers the scopes of its requests."""

    def __init__(self) -> None:
        super().__init__(hello)

    @property
    def last(self) -> Scope:
        return self.scopes[-1]


@pytest.fixture(scope="module")
def scopes() -> Scopes:
    return Scopes()


@pytest.fixture(scope="module")
def server(serve_shared: Serve, scopes: Scopes) -> EmbeddedServer:
    return serve_shared(scopes)


def test_complete_scope(server: EmbeddedServer, scopes: Scopes, connect: Connect) -> None:
    client = connect(server)
    client.get("/a%20path?q=%20&r", "X-Value:  two  words ", "x-value: again", "X-Empty:")
    scope = dict(scopes.last)
    assert [tuple(pair) for pair in scope.pop("headers")] == [
        (b"host", b"example.org"),
        (b"x-value", b"two  words"),
        (b"x-value", b"again"),
        (b"x-empty", b""),
    ]
    assert tuple(scope.pop("client")) == client.socket.getsockname()
    assert tuple(scope.pop("server")) == client.socket.getpeername()
    assert scope.pop("extensions") == {
        "http.response.trailers": {},
        "http.response.early_hint": {},
        "threadserve.cancel_on_disconnect": {"default": False},
    }
    stopping = scope.pop("state").pop("threadserve_stopping")
    assert not stopping.is_set()
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a path",
        "raw_path": b"/a%20path",
        "query_string": b"q=%20&r",
        "root_path": "",
    }


def test_types_of_the_scope(server: EmbeddedServer, scopes: Scopes, connect: Connect) -> None:
    connect(server).get("/?a", "X-A: b")
    kinds: dict[str, Any] = {"method": str, "path": str, "raw_path": bytes, "query_string": bytes, "http_version": str}
    for name, kind in kinds.items():
        assert type(scopes.last[name]) is kind
    assert {type(part) for pair in scopes.last["headers"] for part in pair} == {bytes}


def test_http10(server: EmbeddedServer, scopes: Scopes, connect: Connect) -> None:
    client = connect(server)
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert client.read_response().status == 200
    assert scopes.last["http_version"] == "1.0"
    assert list(scopes.last["headers"]) == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_methods(server: EmbeddedServer, scopes: Scopes, connect: Connect, method: str) -> None:
    client = connect(server)
    client.send(request(method, "/"))
    assert client.read_response(method).status == 200
    assert scopes.last["method"] == method


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/", "/", b"/", b""),
        ("/?", "/", b"/", b""),
        ("/a?b?c", "/a", b"/a", b"b?c"),
        ("/a%2Fb", "/a/b", b"/a%2Fb", b""),
        ("/%E4%BD%A0%20", "/你 ", b"/%E4%BD%A0%20", b""),
        ("/%FF", "/\N{REPLACEMENT CHARACTER}", b"/%FF", b""),
        ("/%zz%", "/%zz%", b"/%zz%", b""),
        ("/a+b", "/a+b", b"/a+b", b""),
        ("/%3F%23?%3F", "/?#", b"/%3F%23", b"%3F"),
        ("/a/../b//c", "/a/../b//c", b"/a/../b//c", b""),
        ("//host/a", "//host/a", b"//host/a", b""),
        ("//a@b:c/d", "//a@b:c/d", b"//a@b:c/d", b""),
        ("/http://x/y", "/http://x/y", b"/http://x/y", b""),
        ("/a:b;c=d,e@f!$&'()*", "/a:b;c=d,e@f!$&'()*", b"/a:b;c=d,e@f!$&'()*", b""),
        ("/~a-b._", "/~a-b._", b"/~a-b._", b""),
        ("/%00", "/\0", b"/%00", b""),
    ],
)
def test_target_becomes_path_and_query(
    server: EmbeddedServer, scopes: Scopes, connect: Connect, target: str, path: str, raw_path: bytes, query: bytes
) -> None:
    assert connect(server).get(target).status == 200
    seen = scopes.last
    assert (seen["path"], seen["raw_path"], seen["query_string"]) == (path, raw_path, query)


@pytest.mark.parametrize(
    ("target", "host", "path", "query"),
    [
        ("http://target.org/a?b", b"target.org", "/a", b"b"),
        ("http://target.org:81/a%20b", b"target.org:81", "/a b", b""),
        ("http://target.org", b"target.org", "/", b""),
        ("http://target.org?b", b"target.org", "/", b"b"),
        ("HTTP://TARGET.org/a", b"TARGET.org", "/a", b""),
        ("http://[::1]:81/a", b"[::1]:81", "/a", b""),
        ("http://target.org//b", b"target.org", "//b", b""),
    ],
)
@pytest.mark.parametrize("host_field", ["Host: other.org", "Host: target.org", "Host:"])
def test_absolute_form_decides_the_host(
    server: EmbeddedServer,
    scopes: Scopes,
    connect: Connect,
    target: str,
    host: bytes,
    path: str,
    query: bytes,
    host_field: str,
) -> None:
    client = connect(server)
    client.send(f"GET {target} HTTP/1.1\r\nX-A: b\r\n{host_field}\r\n\r\n".encode())
    assert client.read_response().status == 200
    hosts = [value for name, value in scopes.last["headers"] if name == b"host"]
    assert [value.lower() for value in hosts] == [host.lower()]
    assert (scopes.last["path"], scopes.last["query_string"]) == (path, query)
    assert (b"x-a", b"b") in [tuple(pair) for pair in scopes.last["headers"]]


def test_absolute_form_without_host_in_http10(server: EmbeddedServer, scopes: Scopes, connect: Connect) -> None:
    client = connect(server)
    client.send(b"GET http://target.org/a HTTP/1.0\r\n\r\n")
    assert client.read_response().status == 200
    assert [tuple(pair) for pair in scopes.last["headers"]] == [(b"host", b"target.org")]


def test_asterisk_form(server: EmbeddedServer, scopes: Scopes, connect: Connect) -> None:
    client = connect(server)
    client.send(request("OPTIONS", "*") + request("GET", "/next"))
    assert client.read_response().status == 200
    assert client.read_response().body == b"/next"
    seen = scopes.scopes[-2]
    assert (seen["path"], seen["raw_path"], seen["query_string"]) == ("*", b"*", b"")


@pytest.mark.parametrize(
    "host", ["", "localhost", "a_b", "127.0.0.1:80", "[::1]:80", "[::1]", "example.org:", "a-b.c:65535"]
)
def test_host_in_every_legal_form(server: EmbeddedServer, scopes: Scopes, connect: Connect, host: str) -> None:
    client = connect(server)
    client.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert client.read_response().status == 200
    assert [tuple(pair) for pair in scopes.last["headers"]] == [(b"host", host.encode())]


def test_fields_keep_their_bytes(server: EmbeddedServer, scopes: Scopes, connect: Connect) -> None:
    client = connect(server)
    client.send(
        b'GET / HTTP/1.1\r\nHost: x\r\nX-!#$%&\'*+-.^_`|~1: \x80\xff \ta\r\nX_Under: 1\r\nx-sep: a,b;c="d"\r\n\r\n'
    )
    assert client.read_response().status == 200
    assert [tuple(pair) for pair in scopes.last["headers"]][1:] == [
        (b"x-!#$%&'*+-.^_`|~1", b"\x80\xff \ta"),
        (b"x_under", b"1"),
        (b"x-sep", b'a,b;c="d"'),
    ]


def test_root_path_comes_before_the_path(serve: Serve, connect: Connect) -> None:
    scopes = Scopes()
    connect(serve(scopes, root_path="/mount")).get("/a%20b?c")
    seen = scopes.last
    assert (seen["root_path"], seen["path"], seen["raw_path"]) == ("/mount", "/mount/a b", b"/mount/a%20b")
    assert seen["query_string"] == b"c"


def test_each_request_has_a_scope_of_its_own(server: EmbeddedServer, scopes: Scopes, connect: Connect) -> None:
    client = connect(server)
    scopes.clear()
    client.get("/1")
    # The event that all see alike.
    stopping = scopes.last["state"]["threadserve_stopping"]
    fresh = copy.deepcopy(scopes.last, {id(stopping): stopping})
    dicts = [scopes.last["state"], scopes.last["asgi"], scopes.last["extensions"]]
    for changed in [*dicts, *scopes.last["extensions"].values()]:
        changed["changed"] = True
    scopes.last["asgi"]["spec_version"] = "changed"
    scopes.last["headers"].append((b"changed", b""))
    client.get("/1")
    assert scopes.last == fresh


def test_state_of_the_lifespan_is_copied_into_each_request(serve: Serve, connect: Connect) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"].update(shared=[], number=1)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        scope["state"]["shared"].append(scope["path"])
        scope["state"]["number"] += 1
        shown = {key: value for key, value in scope["state"].items() if key != "threadserve_stopping"}
        await respond(send, repr(shown).encode())

    client = connect(serve(app, lifespan="on"))
    assert client.get("/1").body == b"{'shared': ['/1'], 'number': 2}"
    assert client.get("/2").body == b"{'shared': ['/1', '/2'], 'number': 2}"


def ipv6_works() -> bool:
    """Whether this machine has an IPv6 loopback address."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not ipv6_works(), reason="this machine has no IPv6")
def test_ipv6(serve: Serve, connect: Connect) -> None:
    scopes = Scopes()
    server = serve(scopes, host="::1")
    client = connect(server)
    assert client.get().status == 200
    assert tuple(scopes.last["server"]) == ("::1", server.port)
    assert tuple(scopes.last["client"]) == ("::1", client.socket.getsockname()[1])
