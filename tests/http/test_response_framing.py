"""How a response is delimited and which fields the server adds (RFC 9112 section 6, RFC 9110 sections 6.6.1, 8.6)."""

from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from support.apps import Gate, body, hello, respond, start
from support.embedded_server import EmbeddedServer, Serve
from support.raw_client import Connect, request

from threadserve.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers as the path says: /STATUS/PART/PART…, where "length" declares the content-length of all parts."""
    _, status, *parts = scope["path"].split("/")
    declared = "length" in parts
    data = [part.encode() for part in parts if part != "length"]
    headers = [(b"content-length", b"%d" % sum(map(len, data)))] if declared else []
    await start(send, int(status), headers)
    for part in data[:-1]:
        await body(send, part, more=True)
    await body(send, *data[-1:])


@pytest.fixture(scope="module")
def server(serve_shared: Serve) -> EmbeddedServer:
    return serve_shared(app)


@pytest.mark.parametrize(
    "path", ["/200/one", "/200/one/two/three", "/200", "/200/length/one", "/200/length/one/two", "/404/a/b"]
)
def test_body_is_delimited_and_the_connection_stays_open(server: EmbeddedServer, connect: Connect, path: str) -> None:
    client = connect(server)
    expected = "".join(part for part in path.split("/")[2:] if part != "length").encode()
    for _ in range(2):
        response = client.get(path)
        assert response.status == int(path[1:4])
        assert response.body == expected
        assert not response.ended_by_eof


def test_stream_is_chunked_and_reaches_the_client_piece_by_piece(serve: Serve, connect: Connect) -> None:
    gate = Gate()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"first", more=True)
        await gate.wait()
        await body(send, b"", more=True)
        await body(send, b"last")

    client = connect(serve(stream))
    client.send(request())
    assert client.reader.head().all("transfer-encoding") == [b"chunked"]
    assert client.reader.take(10) == b"5\r\nfirst\r\n"
    gate.open()
    assert client.reader.chunks() == b"last"
    assert client.reader.fields() == []
    assert client.is_silent(0.05)


def test_content_length_of_the_application_is_kept(server: EmbeddedServer, connect: Connect) -> None:
    response = connect(server).get("/200/length/one/two")
    assert response.header("content-length") == b"6"
    assert response.header("transfer-encoding") is None


@pytest.mark.parametrize("path", ["/200/length/one/two", "/200/one/two", "/200"])
def test_head_has_no_body(server: EmbeddedServer, connect: Connect, path: str) -> None:
    client = connect(server)
    client.send(request("HEAD", path) + request("GET", "/200/next"))
    response = client.read_response("HEAD")
    assert response.status == 200
    if "length" in path:
        assert response.header("content-length") == b"6"
    assert client.read_response().body == b"next"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("parts", ["", "/length", "/ignored", "/length/ignored", "/ig/nored"])
def test_204_and_304_have_no_body(
    server: EmbeddedServer, connect: Connect, method: str, status: int, parts: str
) -> None:
    client = connect(server)
    client.send(request(method, f"/{status}{parts}") + request("GET", "/200/next"))
    response = client.read_response(method)
    assert response.status == status
    assert response.header("transfer-encoding") is None
    assert client.read_response().body == b"next"


def test_304_keeps_the_content_length_of_the_application(server: EmbeddedServer, connect: Connect) -> None:
    assert connect(server).get("/304/length/ignored").header("content-length") == b"7"


@pytest.mark.parametrize("status", [200, 201, 299, 404, 418, 500, 599])
def test_status_line(server: EmbeddedServer, connect: Connect, status: int) -> None:
    response = connect(server).get(f"/{status}/x")
    assert (response.version, response.status, response.body) == ("1.1", status, b"x")


def test_reason_phrases(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    assert [client.get(f"/{status}/x").reason for status in (200, 404, 599)] == ["OK", "Not Found", ""]


def test_fields_of_the_application_are_sent_in_its_order(serve: Serve, connect: Connect) -> None:
    sent = [
        (b"x-b", b"1"),
        (b"set-cookie", b"a=1"),
        (b"x-a", b""),
        (b"set-cookie", b"b=2"),
        (b"x-c", b"\xff caf\xc3\xa9"),
    ]

    async def headers(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"ok", headers=sent)

    response = connect(serve(headers)).get()
    names = {name for name, _ in sent}
    assert [pair for pair in response.headers if pair[0] in names] == sent


def test_headers_may_be_lists_or_any_iterable(serve: Serve, connect: Connect) -> None:
    async def headers(scope: Scope, receive: Receive, send: Send) -> None:
        pairs = ([name, b"1"] for name in (b"x-a", b"x-b"))
        await send({"type": "http.response.start", "status": 200, "headers": pairs})
        await send({"type": "http.response.body"})

    response = connect(serve(headers)).get()
    assert (response.header("x-a"), response.header("x-b"), response.body) == (b"1", b"1", b"")


def test_body_may_be_bytearray_or_memoryview(serve: Serve, connect: Connect) -> None:
    async def buffers(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": bytearray(b"ab"), "more_body": True})
        await send({"type": "http.response.body", "body": memoryview(b"cd")})

    assert connect(serve(buffers)).get().body == b"abcd"


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"identity", b"gzip, chunked", b"", b"\r\nevil: 1"])
def test_transfer_coding_of_the_application_is_ignored(serve: Serve, connect: Connect, value: bytes) -> None:
    async def names_it(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, [(b"transfer-encoding", value)])
        await body(send, b"one", more=True)
        await body(send, b"two")

    client = connect(serve(names_it))
    for _ in range(2):
        response = client.get()
        assert (response.body, response.all("transfer-encoding")) == (b"onetwo", [b"chunked"])


@pytest.mark.parametrize(
    "values",
    [[b"6", b"6"], [b" 6"], [b"6\t"], [b"6", b" 6 "], [b"6, 6"], [b"06", b"6"]],
    ids=repr,
)
def test_content_length_that_says_the_same_again_is_taken_once(
    serve: Serve, connect: Connect, values: list[bytes]
) -> None:
    async def again(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, [(b"content-length", value) for value in values])
        await body(send, b"onetwo")

    client = connect(serve(again))
    for _ in range(2):
        response = client.get()
        assert (response.body, [int(value) for value in response.all("content-length")]) == (b"onetwo", [6])


def test_date_and_server_are_added(server: EmbeddedServer, connect: Connect) -> None:
    response = connect(server).get("/200/x")
    assert response.header("server") == b"threadserve"
    date = (response.header("date") or b"").decode()
    assert date.endswith(" GMT")
    assert parsedate_to_datetime(date).tzinfo is not None


def test_date_and_server_can_be_turned_off(serve: Serve, connect: Connect) -> None:
    response = connect(serve(hello, date_header=False, server_header=False)).get()
    assert response.all("date") == response.all("server") == []


@pytest.mark.parametrize("names", [(b"date", b"server"), (b"Date", b"SERVER")])
def test_date_and_server_of_the_application_replace_ours(
    serve: Serve, connect: Connect, names: tuple[bytes, bytes]
) -> None:
    async def own(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"ok", headers=[(name, b"mine") for name in names])

    response = connect(serve(own)).get()
    assert (response.header("date"), response.header("server")) == (b"mine", b"mine")


def test_configured_headers_are_added(serve: Serve, connect: Connect) -> None:
    headers = [("X-One", "1"), ("Server", "custom"), ("x-one", "2")]
    response = connect(serve(hello, headers=headers)).get()
    assert response.all("x-one") == [b"1", b"2"]
    assert response.all("server") == [b"custom"]


def test_error_responses_carry_the_servers_fields_too(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    response = client.read_response()
    assert response.status == 400
    assert response.header("date") is not None
    assert response.header("server") == b"threadserve"


@pytest.mark.parametrize(
    "headers",
    [[(b"keep-alive", b"timeout=5")], [(b"connection", b"keep-alive")]],
)
def test_connection_fields_of_the_application_do_not_break_the_connection(
    serve: Serve, connect: Connect, headers: list[tuple[bytes, Any]]
) -> None:
    async def own(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"ok", headers=headers)

    client = connect(serve(own))
    assert [client.get().body, client.get().body] == [b"ok", b"ok"]
    assert client.get("/", "Connection: close").all("connection")[-1:] == [b"close"]
    assert client.is_closed()
