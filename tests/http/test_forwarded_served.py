"""The headers of proxies at a server: which peers it believes, for requests and WebSockets, and what the log says."""

import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.apps import Recorder, hello, respond
from support.embedded_server import Serve
from support.raw_client import Connect, request
from support.waiting import wait_until

from threadserve.types import Receive, Scope, Send

FOR = "X-Forwarded-For: 192.0.2.9, 192.0.2.1:5, 127.0.0.1"
PROTO = "X-Forwarded-Proto: https"
STANDARD = "Forwarded: for=192.0.2.9, for=192.0.2.1;proto=https;host=example.net"


def test_local_proxies_are_believed(serve: Serve, connect: Connect) -> None:
    app = Recorder(hello)
    connect(serve(app)).get("/", FOR, PROTO)
    assert (app.scopes[0]["client"], app.scopes[0]["scheme"]) == (("192.0.2.1", 5), "https")
    assert (b"x-forwarded-for", FOR.partition(": ")[2].encode()) in app.scopes[0]["headers"]


def test_standard_field(serve: Serve, connect: Connect) -> None:
    app = Recorder(hello)
    server = serve(app)
    connect(server).get("/", STANDARD)
    scope = app.scopes[0]
    assert (scope["client"], scope["scheme"], scope["server"]) == (("192.0.2.1", 0), "https", ("example.net", 443))
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"example.net"]


@pytest.mark.parametrize("settings", [{"proxy_headers": False}, {"forwarded_allow_ips": "10.0.0.0/8"}])
def test_others_are_not_believed(serve: Serve, connect: Connect, settings: dict[str, Any]) -> None:
    app = Recorder(hello)
    server = serve(app, **settings)
    client = connect(server)
    client.get("/", FOR, PROTO, STANDARD)
    scope = app.scopes[0]
    assert (scope["client"], scope["scheme"]) == (client.socket.getsockname(), "http")
    assert scope["server"] == (server.host, server.port)


def test_fields_that_proxies_often_pass_on_are_not_believed(serve: Serve, connect: Connect) -> None:
    app = Recorder(hello)
    server = serve(app)
    forged = ("X-Forwarded-Host: forged.example", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /forged")
    connect(server).get("/", FOR, *forged)
    scope = app.scopes[0]
    assert (scope["server"], scope["root_path"], scope["path"]) == ((server.host, server.port), "", "/")
    assert (b"host", b"example.org") in scope["headers"]


@pytest.mark.parametrize(
    ("told", "scheme"),
    [("HTTPS", "https"), ("Http", "http"), ("WSS", "https"), ("ws", "http"), ("http, HTTPS", "https")],
)
def test_a_scheme_is_the_same_in_any_case(serve: Serve, connect: Connect, told: str, scheme: str) -> None:
    app = Recorder(hello)
    connect(serve(app)).get("/", f"X-Forwarded-Proto: {told}")
    assert app.scopes[0]["scheme"] == scheme


def test_each_request_of_a_connection_has_its_own(serve: Serve, connect: Connect) -> None:
    app = Recorder(hello)
    client = connect(serve(app))
    for fields in ([FOR, PROTO], [FOR, PROTO], ["X-Forwarded-For: 192.0.2.2"], [], [PROTO]):
        client.get("/", *fields)
    own = client.socket.getsockname()
    assert [scope["client"] for scope in app.scopes] == [("192.0.2.1", 5)] * 2 + [("192.0.2.2", 0), own, own]
    assert [scope["scheme"] for scope in app.scopes] == ["https", "https", "http", "http", "https"]


def test_malformed_values_leave_the_peer(serve: Serve, connect: Connect) -> None:
    app = Recorder(hello)
    client = connect(serve(app))
    client.get("/", "X-Forwarded-For: ,", "X-Forwarded-Proto: gopher", 'Forwarded: for="')
    assert (app.scopes[0]["client"], app.scopes[0]["scheme"]) == (client.socket.getsockname(), "http")


@pytest.mark.parametrize(
    ("allowed", "client"),
    [
        ("{path}", ("192.0.2.1", 5)),
        ("unix:{path}", ("192.0.2.1", 5)),
        ("unix:", ("192.0.2.1", 5)),
        ("*", ("192.0.2.9", 0)),
        ("127.0.0.1,/elsewhere", None),
        (None, None),
    ],
)
def test_unix_sockets(serve: Serve, tmp_path: Path, allowed: str | None, client: Any) -> None:
    app = Recorder(hello)
    path = str(tmp_path / "socket")
    serve(app, uds=path, forwarded_allow_ips=allowed and f"127.0.0.1,{allowed.format(path=path)}")
    with httpx.Client(transport=httpx.HTTPTransport(uds=path), timeout=60) as proxy:
        proxy.get("http://example.org/", headers=dict([FOR.split(": ")]))
    assert app.scopes[0]["client"] == client


@pytest.mark.parametrize(("announced", "client"), [("10.0.0.1", ("192.0.2.1", 5)), ("192.0.2.7", ("192.0.2.7", 1111))])
def test_client_of_a_proxy_header_is_the_peer(serve: Serve, connect: Connect, announced: str, client: Any) -> None:
    app = Recorder(hello)
    server = serve(app, proxy_protocol=True, forwarded_allow_ips="127.0.0.1,10.0.0.0/8")
    connection = connect(server)
    connection.send(f"PROXY TCP4 {announced} 127.0.0.1 1111 80\r\n".encode() + request("GET", "/", FOR))
    assert connection.read_response().status == 200
    assert app.scopes[0]["client"] == client


def test_websocket(serve: Serve, connect: Connect) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await receive()
        await send({"type": "websocket.close"})

    key = "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="
    handshake = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key]
    assert connect(serve(app)).get("/", *handshake, FOR, PROTO).status == 403
    assert (scopes[0]["type"], scopes[0]["scheme"], scopes[0]["client"]) == ("websocket", "wss", ("192.0.2.1", 5))


def test_wsgi(serve: Serve, connect: Connect) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [" ".join(environ[name] for name in ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST")).encode()]

    client = connect(serve(app, interface="wsgi"))
    assert client.get("/", STANDARD).body == b"192.0.2.1 https example.net"


@pytest.mark.parametrize(
    ("settings", "first", "second"),
    [({}, '192.0.2.1:5 - "', '127.0.0.1:{port} - "'), ({"access_log_format": "%(h)s"}, "192.0.2.1", "127.0.0.1")],
)
def test_access_log_names_the_client(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture, settings: Any, first: str, second: str
) -> None:
    caplog.set_level(logging.INFO, "threadserve.access")
    client = connect(serve(hello, **settings))
    client.get("/", FOR)
    client.get("/")

    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "threadserve.access"]

    wait_until(lambda: len(lines()) == 2, "two lines")
    assert lines()[0].startswith(first)
    assert lines()[1].startswith(second.format(port=client.socket.getsockname()[1]))


def test_access_log_names_whom_the_application_put_there(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["client"] = ("192.0.2.3", 7) if scope["path"] == "/" else None
        await respond(send)

    caplog.set_level(logging.INFO, "threadserve.access")
    client = connect(serve(app))
    client.get("/")
    client.get("/nobody")
    wait_until(lambda: sum(record.name == "threadserve.access" for record in caplog.records) == 2, "two lines")
    lines = [record.getMessage() for record in caplog.records if record.name == "threadserve.access"]
    assert lines[0].startswith('192.0.2.3:7 - "GET / ')
    assert lines[1].startswith(' - "GET /nobody ')
