"""What an application sends as a header never becomes more than that header (RFC 9110, section 5.5)."""

import pytest
from support.apps import body, hello, respond, start
from support.embedded_server import EmbeddedServer, Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, request
from support.responses import parse_responses

from threadserve.types import Receive, Scope, Send

EVIL: list[tuple[bytes, bytes]] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await (respond(send, b"body", headers=EVIL) if scope["path"] == "/evil" else hello(scope, receive, send))


@pytest.fixture(scope="module")
def server(serve_shared: Serve) -> EmbeddedServer:
    return serve_shared(app)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-evil", b"a\r\nset-cookie: evil"),
        (b"x-evil", b"a\nset-cookie: evil"),
        (b"x-evil", b"a\rset-cookie: evil"),
        (b"x-evil", b"a\r\n evil"),
        (b"x-evil", b"evil\0"),
        (b"x-evil", b"evil\r\n"),
        (b"x-evil", b"evil\n"),
        (b"x-evil\r\nset-cookie", b"evil"),
        (b"x-evil\n", b"evil"),
        (b"x-evil: a\r\nb", b"evil"),
        (b"x-evil ", b"evil"),
        (b" x-evil", b"evil"),
        (b"x evil", b"evil"),
        (b"x-evil:", b"evil"),
        (b"x-evil\0", b"evil"),
        (b"x-evil\xff", b"evil"),
        (b"x(evil)", b"evil"),
        (b"", b"evil"),
        (b"date", b"evil\r\nset-cookie: evil"),
        (b"content-type", b"text/html\r\n\r\n<evil>"),
        (b"location", b"/\r\n\r\nevil"),
        (b"connection", b"close\r\nevil: 1"),
    ],
)
def test_header_that_cannot_be_is_a_logged_500(
    server: EmbeddedServer, connect: Connect, error_log: ErrorLog, name: bytes, value: bytes
) -> None:
    EVIL[:] = [(name, value)]
    client = connect(server)
    client.send(request("GET", "/evil") + request("GET", "/next", "Connection: close"))
    data = client.read_all()
    first, *rest = parse_responses(data)
    assert (first.status, first.body) == (500, b"Internal Server Error")
    assert [response.body for response in rest] in ([], [b"/next"])
    assert b"evil" not in data
    assert error_log.expect().exc_info


def test_trailers_are_checked_too(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    async def trailing(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, [(b"trailer", b"x-sum")], trailers=True)
        await body(send, b"body")
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1\r\n\r\nHTTP/1.1 200 evil")]})

    client = connect(serve(trailing))
    client.send(request("GET", "/", "TE: trailers", "Connection: close, TE"))
    data = client.read_all()
    assert b"evil" not in data
    assert not data.endswith(b"0\r\n\r\n")
    error_log.expect()


def test_early_hints_are_checked_too(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    async def hinting(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload\r\nevil: 1"]})
        await body(send, b"body")

    client = connect(serve(hinting))
    client.send(request("GET", "/", "Connection: close"))
    data = client.read_all()
    assert b"evil" not in data
    assert parse_responses(data)[0].status == 500
    error_log.expect()
