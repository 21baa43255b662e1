"""`Expect: 100-continue` (RFC 9110, section 10.1.1): the interim response is sent when the application reads."""

import pytest
from support.apps import Gate, body, echo_body, hello, read_body, respond, start
from support.embedded_server import Serve
from support.raw_client import Connect, request

from threadserve.types import Receive, Scope, Send

EXPECT = "Expect: 100-continue"


def test_interim_response_is_sent_when_the_application_reads(serve: Serve, connect: Connect) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, await read_body(receive))

    client = connect(serve(app))
    client.send(request("POST", "/", "Content-Length: 3", EXPECT))
    gate.wait_for_arrivals()
    assert client.is_silent(0.1)
    gate.open()
    interim = client.reader.head()
    assert (interim.status, interim.headers) == (100, [])
    client.send(b"abc")
    response = client.read_response()
    assert (response.status, response.body, response.interim) == (200, b"abc", [])


def test_interim_response_is_sent_once(serve: Serve, connect: Connect) -> None:
    client = connect(serve(echo_body))
    client.send(request("POST", "/", "Transfer-Encoding: chunked", EXPECT))
    assert client.reader.head().status == 100
    for piece in (b"1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n"):
        client.send(piece)
    response = client.read_response()
    assert (response.body, response.interim) == (b"ab", [])


@pytest.mark.parametrize("value", ["100-Continue", "100-CONTINUE"])
def test_expectation_is_not_case_sensitive(serve: Serve, connect: Connect, value: str) -> None:
    client = connect(serve(echo_body))
    client.send(request("POST", "/", "Content-Length: 3", f"Expect: {value}"))
    assert client.reader.head().status == 100
    client.send(b"abc")
    assert client.read_response().body == b"abc"


def test_application_that_does_not_read_answers_without_interim_response(serve: Serve, connect: Connect) -> None:
    async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await respond(send, b"too large", 413)
        else:
            await hello(scope, receive, send)

    client = connect(serve(refuses))
    client.send(request("POST", "/", "Content-Length: 3", EXPECT))
    response = client.read_response()
    assert (response.status, response.body, response.interim) == (413, b"too large", [])
    if response.says_close:
        assert client.is_closed()
    else:
        client.send(b"abc")
        assert client.get("/next").body == b"/next"


def test_body_may_be_there_already(serve: Serve, connect: Connect) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await echo_body(scope, receive, send)

    client = connect(serve(app))
    client.send(request("POST", "/", "Content-Length: 3", EXPECT, body=b"abc") + request("GET", "/next"))
    gate.wait_for_arrivals()
    gate.open()
    response = client.read_response()
    assert response.body == b"abc"
    assert [interim.status for interim in response.interim] in ([], [100])
    assert client.read_response().status == 200


def test_http10_gets_no_interim_response(serve: Serve, connect: Connect) -> None:
    client = connect(serve(echo_body))
    client.send(request("POST", "/", "Content-Length: 3", EXPECT, version="1.0"))
    assert client.is_silent(0.1)
    client.send(b"abc")
    response = client.read_response()
    assert (response.body, response.interim) == (b"abc", [])


def test_each_request_of_a_connection_has_its_own_interim_response(serve: Serve, connect: Connect) -> None:
    client = connect(serve(echo_body))
    for data in (b"one", b"two"):
        client.send(request("POST", "/", "Content-Length: 3", EXPECT))
        assert client.reader.head().status == 100
        client.send(data)
        assert client.read_response().body == data
        client.send(request("POST", "/", "Content-Length: 3", body=data))
        response = client.read_response()
        assert (response.body, response.interim) == (data, [])


def test_client_that_wants_the_connection_closed_has_it_closed(serve: Serve, connect: Connect) -> None:
    client = connect(serve(echo_body, timeout_keep_alive=600))
    client.send(request("POST", "/", "Content-Length: 3", EXPECT, "Connection: close"))
    assert client.reader.head().status == 100
    client.send(b"abc")
    response = client.read_response()
    assert (response.body, response.says_close) == (b"abc", True)
    assert client.is_closed()


def test_close_that_was_announced_is_kept_when_the_body_comes_after_all(serve: Serve, connect: Connect) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200)
        await body(send, b"one", more=True)
        await gate.wait()
        await body(send, await read_body(receive))

    client = connect(serve(app, timeout_keep_alive=600))
    client.send(request("POST", "/", "Content-Length: 3", EXPECT))
    gate.wait_for_arrivals()
    client.send(b"abc")
    gate.open()
    response = client.read_response()
    assert (response.body, response.says_close) == (b"oneabc", True)
    assert client.is_closed()
