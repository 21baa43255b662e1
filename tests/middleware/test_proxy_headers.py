"""`ProxyHeadersMiddleware` in front of an application, imported as programs for Uvicorn import theirs."""

from typing import Any

import pytest
from support.apps import Recorder, hello
from support.embedded_server import Serve
from support.raw_client import Connect

from threadserve.middleware.proxy_headers import ProxyHeadersMiddleware

FIELDS = ("X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: example.net")
PREFIX = "X-Forwarded-Prefix: /api"


@pytest.mark.parametrize(
    ("arguments", "client", "scheme"),
    [
        ({}, ("192.0.2.1", 0), "https"),
        ({"trusted_hosts": "127.0.0.0/8"}, ("192.0.2.1", 0), "https"),
        ({"trusted_hosts": ["10.0.0.1", "*"]}, ("192.0.2.1", 0), "https"),
        ({"trusted_hosts": "10.0.0.1"}, None, "http"),
    ],
)
def test_client_and_scheme(serve: Serve, connect: Connect, arguments: dict[str, Any], client: Any, scheme: str) -> None:
    app = Recorder(hello)
    connection = connect(serve(ProxyHeadersMiddleware(app, **arguments), proxy_headers=False, lifespan="off"))
    connection.get("/", *FIELDS, PREFIX)
    assert app.scopes[0]["client"] == (client or connection.socket.getsockname())
    assert (app.scopes[0]["scheme"], app.scopes[0]["root_path"]) == (scheme, "")


def test_fields_that_are_named(serve: Serve, connect: Connect) -> None:
    app = Recorder(hello)
    names = "X-Forwarded-Host, X-Forwarded-Prefix"
    server = serve(ProxyHeadersMiddleware(app, forwarded_headers=names), proxy_headers=False, lifespan="off")
    client = connect(server)
    assert client.get("/a", *FIELDS, PREFIX).body == b"/api/a"
    scope = app.scopes[0]
    assert (scope["client"], scope["scheme"]) == (client.socket.getsockname(), "http")
    assert (scope["root_path"], scope["raw_path"], scope["server"]) == ("/api", b"/api/a", ("example.net", 80))
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"example.net"]


def test_lifespan_passes(serve: Serve, connect: Connect) -> None:
    class App(Recorder):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "lifespan":
                await super().__call__(scope, receive, send)
                return
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

    app = App(hello)
    assert connect(serve(ProxyHeadersMiddleware(app), lifespan="on")).get().status == 200


@pytest.mark.parametrize("arguments", [{"trusted_hosts": "10.0.0.1/8"}, {"forwarded_headers": "X-Real-IP"}])
def test_mistakes(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^'.+' is no"):
        ProxyHeadersMiddleware(hello, **arguments)
