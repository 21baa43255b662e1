"""How a request's body reaches the application."""

import hashlib
from contextlib import suppress
from typing import Any

import pytest
from support.apps import Disconnected, Gate, Outcome, Recorder, echo, echo_body, hello, read_body, respond
from support.embedded_server import EmbeddedServer, Serve
from support.raw_client import Connect, chunked, post, post_chunked, request
from support.streams import CHUNK_EXTENSIONS

from threadserve.types import Receive, Scope, Send


async def digest(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, hashlib.sha256(await read_body(receive)).hexdigest().encode())


@pytest.fixture(scope="module")
def server(serve_shared: Serve) -> EmbeddedServer:
    return serve_shared(echo_body)


def test_request_without_a_body_gives_one_empty_message(serve: Serve, connect: Connect) -> None:
    first: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        first.append(await receive())
        await hello(scope, receive, send)

    client = connect(serve(app))
    for sent in (request("GET", "/a"), request("POST", "/b"), post("/c", b""), post_chunked("/d")):
        client.send(sent)
        assert client.read_response().status == 200
        assert first.pop() == {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.parametrize(
    "body",
    [
        b"3\r\nabc\r\n0\r\n\r\n",
        b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        b"3;name=value\r\nabc\r\n0\r\n\r\n",
        b'3;name="quoted; value"\r\nabc\r\n0;last\r\n\r\n',
        b"0003\r\nabc\r\n000\r\n\r\n",
        b"3\r\nabc\r\n0\r\nx-trailer: 1\r\nX-Other: 2\r\n\r\n",
    ],
)
def test_chunked_body_is_decoded(server: EmbeddedServer, connect: Connect, body: bytes) -> None:
    client = connect(server)
    for _ in range(2):
        client.send(request("POST", "/", "Transfer-Encoding: chunked", body=body))
        assert client.read_response().body == b"abc"


def test_hexadecimal_sizes_in_both_cases(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    for size in (b"1a", b"1A"):
        body = size + b"\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n"
        client.send(request("POST", "/", "Transfer-Encoding: chunked", body=body))
        assert client.read_response().body == b"x" * 26


@pytest.mark.parametrize(
    "field", ["Transfer-Encoding: Chunked", "transfer-encoding:CHUNKED", "TRANSFER-ENCODING:\tchunked \t"]
)
def test_name_of_the_coding_is_not_case_sensitive(server: EmbeddedServer, connect: Connect, field: str) -> None:
    client = connect(server)
    client.send(request("POST", "/", field, body=chunked(b"abc")))
    assert client.read_response().body == b"abc"


@pytest.mark.parametrize("value", ["3", "003", "\t3 ", "0000000000000003"])
def test_content_length_in_every_legal_form(server: EmbeddedServer, connect: Connect, value: str) -> None:
    client = connect(server)
    client.send(request("POST", "/", f"Content-Length:{value}", body=b"abc"))
    assert client.read_response().body == b"abc"


def test_get_may_have_a_body(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    client.send(request("GET", "/", "Content-Length: 3", body=b"abc") + post("/", b"next"))
    assert client.read_response().body == b"abc"
    assert client.read_response().body == b"next"


@pytest.mark.parametrize("coding", ["content-length", "chunked"])
def test_large_body_arrives_whole(serve: Serve, connect: Connect, coding: str) -> None:
    client = connect(serve(digest))
    body = bytes(range(256)) * 8192
    pieces = [body[at : at + 70_001] for at in range(0, len(body), 70_001)]
    client.send(post("/", body) if coding == "content-length" else post_chunked("/", *pieces))
    assert client.read_response().body == hashlib.sha256(body).hexdigest().encode()


def test_body_reaches_the_application_while_it_is_being_sent(serve: Serve, connect: Connect) -> None:
    received: list[bytes] = []
    gates = [Gate(), Gate()]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for gate in gates:
            message = await receive()
            received.append(message["body"])
            assert message["more_body"] is True
            await gate.wait()
        received.append(await read_body(receive))
        await respond(send, b"done")

    client = connect(serve(app))
    client.send(request("POST", "/", "Content-Length: 9", body=b"one"))
    gates[0].wait_for_arrivals()
    assert received == [b"one"]
    gates[0].open()
    client.send(b"two")
    gates[1].wait_for_arrivals()
    assert received == [b"one", b"two"]
    gates[1].open()
    client.send(b"end")
    assert client.read_response().body == b"done"
    assert received == [b"one", b"two", b"end"]


def test_response_may_begin_before_the_body_is_complete(serve: Serve, connect: Connect) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})

    client = connect(serve(app))
    client.send(request("POST", "/", "Content-Length: 6", body=b"one"))
    assert client.reader.head().status == 200
    assert client.reader.take(3) == b"one"
    client.send(b"two")
    assert client.reader.take(3) == b"two"
    client.send(request("POST", "/", "Content-Length: 6", body=b"three."))
    assert client.read_response().body == b"three."


def test_trailers_never_join_the_headers(serve: Serve, connect: Connect) -> None:
    recorder = Recorder(echo)
    client = connect(serve(recorder))
    trailers = b"X-Admin: yes\r\nHost: evil\r\nX-Mine: 2\r\n"
    fields = ("Transfer-Encoding: chunked", "X-Mine: 1")
    client.send(request("POST", "/", *fields, body=chunked(b"abc", trailers=trailers)) + request("GET", "/next"))
    first, second = client.read_response(), client.read_response()
    assert (first.status, second.status) == (200, 200)
    expected = [(b"host", b"example.org"), (b"transfer-encoding", b"chunked"), (b"x-mine", b"1")]
    assert [tuple(pair) for pair in recorder.scopes[0]["headers"]] == expected
    assert [tuple(pair) for pair in recorder.scopes[1]["headers"]] == [(b"host", b"example.org")]
    assert recorder.bodies == [b"abc", b""]


@pytest.mark.parametrize("trailer", [b"Content-Length: 5", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"])
def test_trailers_never_frame_the_message(serve: Serve, connect: Connect, trailer: bytes) -> None:
    """They may be dropped or refused (RFC 9110, section 6.5.1), but over both parsers alike."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(Disconnected):
            await echo_body(scope, receive, send)

    outcomes = []
    for parser in ("auto", "h11", "httptools"):
        recorder = Recorder(app)
        client = connect(serve(recorder, http=parser))
        client.send(
            request("POST", "/", "Transfer-Encoding: chunked", body=chunked(b"abc", trailers=trailer + b"\r\n"))
        )
        client.send(post("/", b"next"))
        response = client.read_response()
        if response.status == 200:
            assert client.read_response().body == b"next"
        else:
            assert (response.status, client.is_closed(), recorder.bodies) == (400, True, [])
        outcomes.append((response.status, response.body, recorder.bodies))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("sent", [b"ab", b"2\r\nab\r\n", b"2\r\nab", b"2\r\nab\r\n0\r\n", b"2"])
def test_body_cut_short_is_never_taken_as_complete(serve: Serve, connect: Connect, sent: bytes) -> None:
    outcome = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            outcome.set(await read_body(receive))
        except Disconnected:
            outcome.set("disconnected")

    client = connect(serve(app))
    field = "Content-Length: 3" if sent == b"ab" else "Transfer-Encoding: chunked"
    client.send(request("POST", "/", field, body=sent))
    client.half_close()
    assert outcome.get() == "disconnected"
    data = client.read_all()
    assert data == b"" or data.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("extension", CHUNK_EXTENSIONS, ids=repr)
def test_chunk_extensions_mean_nothing(server: EmbeddedServer, connect: Connect, extension: bytes) -> None:
    client = connect(server)
    data = request("POST", "/", "Transfer-Encoding: chunked")
    data += chunked(b"abc", b"5 ;a\r\n", b"x" * 300, extension=extension)
    client.send(data + data[:-3])
    assert client.read_response().body == b"abc5 ;a\r\n" + b"x" * 300
    client.send(data[-3:] + post("/", b"next"))
    assert client.read_response().body == b"abc5 ;a\r\n" + b"x" * 300
    assert client.read_response().body == b"next"
