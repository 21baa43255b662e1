"""Which connections stay open for another request, and which are closed (RFC 9112, section 9.3)."""

import pytest
from support.apps import body as send_body
from support.apps import echo_body, hello, respond, start
from support.embedded_server import EmbeddedServer, Serve
from support.raw_client import Connect, post, post_chunked, request

from threadserve.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/echo":
        await echo_body(scope, receive, send)
    elif scope["path"] == "/close":
        await respond(send, b"bye", headers=[(b"connection", b"close")])
    elif scope["path"] == "/stream":
        await start(send)
        await send_body(send, b"one", more=True)
        await send_body(send, b"two")
    else:
        await hello(scope, receive, send)


@pytest.fixture(scope="module")
def server(serve_shared: Serve) -> EmbeddedServer:
    return serve_shared(app)


def test_connection_serves_one_request_after_another(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    for number in range(5):
        response = client.get(f"/{number}")
        assert (response.status, response.body) == (200, f"/{number}".encode())
        assert not response.says_close


def test_connection_stays_open_after_bodies_of_every_kind(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    for sent in (post("/echo", b"abc"), post_chunked("/echo", b"a", b"bc"), post("/echo", b"abc")):
        client.send(sent)
        assert client.read_response().body == b"abc"
        assert client.get("/stream").body == b"onetwo"


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close", "close, foo", " foo ,\tclose "])
def test_client_that_says_close_is_told_so_and_closed(server: EmbeddedServer, connect: Connect, value: str) -> None:
    client = connect(server)
    response = client.get("/a", f"Connection: {value}")
    assert response.body == b"/a"
    assert response.says_close
    assert client.is_closed()


def test_close_in_the_second_of_two_connection_fields_counts(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    assert client.get("/", "Connection: foo", "Connection: close").says_close
    assert client.is_closed()


def test_option_that_contains_the_word_close_does_not_close(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    assert not client.get("/", "Connection: closed, not-close").says_close
    assert client.get("/again").body == b"/again"


def test_application_that_says_close_closes(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    response = client.get("/close")
    assert response.body == b"bye"
    assert response.all("connection") == [b"close"]
    assert client.is_closed()


def test_http10_is_closed_after_one_response(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    client.send(b"GET /old HTTP/1.0\r\n\r\n")
    response = client.read_response()
    assert (response.status, response.body) == (200, b"/old")
    assert client.is_closed()


def test_http10_stays_open_if_the_client_asks_for_it(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    for number in range(3):
        client.send(b"GET /%d HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" % number)
        response = client.read_response()
        assert response.body == b"/%d" % number
        assert [value.lower() for value in response.all("connection")] == [b"keep-alive"]


def test_http10_with_close_and_keep_alive_is_closed(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    client.send(b"GET /old HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n")
    assert client.read_response().body == b"/old"
    assert client.is_closed()


def test_http10_stream_of_unknown_length_ends_with_the_connection(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    client.send(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    response = client.read_response()
    assert response.all("transfer-encoding") == []
    assert response.ended_by_eof
    assert response.body == b"onetwo"
    assert b"keep-alive" not in response.all("connection")


def test_http10_body_is_read(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    client.send(request("POST", "/echo", "Content-Length: 3", body=b"abc", version="1.0"))
    assert client.read_response().body == b"abc"
    assert client.is_closed()


def test_empty_line_between_requests_is_ignored(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    client.send(b"\r\n" + post("/echo", b"abc") + b"\r\n" + request("GET", "/next"))
    assert client.read_response().body == b"abc"
    assert client.read_response().body == b"/next"


def test_request_may_come_one_byte_at_a_time(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    for value in post_chunked("/echo", b"ab", b"c"):
        client.send(bytes([value]))
    assert client.read_response().body == b"abc"


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "foo/1"])
def test_upgrade_that_is_declined_is_an_ordinary_request(
    server: EmbeddedServer, connect: Connect, protocol: str
) -> None:
    client = connect(server)
    fields = ("Connection: Upgrade", f"Upgrade: {protocol}", "Content-Length: 3")
    client.send(request("POST", "/echo", *fields, body=b"abc") + request("GET", "/next"))
    assert client.read_response().body == b"abc"
    assert client.read_response().body == b"/next"
