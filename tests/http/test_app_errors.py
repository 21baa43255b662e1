"""What becomes of a request whose application fails: a 500 or a closed connection, and a logged traceback."""

import asyncio
import sys
from contextlib import suppress
from typing import Any

import pytest
from support.apps import Outcome, body, hello, read_body, respond, start
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, RawClient, post, request
from support.responses import Incomplete, Response

from threadserve.errors import ClientDisconnected
from threadserve.http.error_log import is_disconnect
from threadserve.types import ASGIApp, Receive, Scope, Send


class Mistake(Exception):
    """The application's own error."""


def failing(app: ASGIApp) -> ASGIApp:
    """`app` for every path but /fine, which is answered properly."""

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        await (hello if scope["path"] == "/fine" else app)(scope, receive, send)

    return either


def assert_plain_500(response: Response) -> None:
    assert (response.status, response.reason) == (500, "Internal Server Error")
    assert response.body == b"Internal Server Error"
    assert (response.header("content-type") or b"").startswith(b"text/plain")


def assert_next_is_answered_or_closed(client: RawClient, response: Response) -> None:
    """No byte of a failed response may be taken for the next one."""
    if response.says_close:
        assert client.is_closed()
    else:
        assert client.get("/fine").body == b"/fine"


def test_exception_before_the_response(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise Mistake("before the response")

    client = connect(serve(failing(app)))
    response = client.get()
    assert_plain_500(response)
    assert_next_is_answered_or_closed(client, response)
    record = error_log.expect(Mistake, "before the response")
    assert record.name == "threadserve.error"


@pytest.mark.parametrize("waits", [False, True])
def test_generator_exit(serve: Serve, connect: Connect, error_log: ErrorLog, waits: bool) -> None:
    """An error like any other: nobody closes the coroutine of an application that runs."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if waits:
            await asyncio.sleep(0)
        raise GeneratorExit("of the application's own")

    client = connect(serve(failing(app)))
    response = client.get()
    assert_plain_500(response)
    assert_next_is_answered_or_closed(client, response)
    error_log.expect(GeneratorExit, "of the application's own")


def test_exception_with_a_body_unread(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise Mistake

    client = connect(serve(failing(app)))
    client.send(post("/", request("GET", "/smuggled") * 10_000))
    response = client.read_response()
    assert_plain_500(response)
    assert_next_is_answered_or_closed(client, response)
    error_log.expect(Mistake)


def test_exception_between_start_and_body(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    """Nothing was sent yet, because the head waits for the first body message: so a 500 is still possible."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, [(b"content-length", b"5"), (b"x-lost", b"1")])
        raise Mistake

    client = connect(serve(failing(app)))
    response = client.get()
    assert_plain_500(response)
    assert response.header("x-lost") is None
    assert_next_is_answered_or_closed(client, response)
    error_log.expect(Mistake)


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"10")]])
def test_exception_after_part_of_the_body_cuts_the_response(
    serve: Serve, connect: Connect, error_log: ErrorLog, headers: list[tuple[bytes, bytes]]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, headers)
        await body(send, b"part", more=True)
        raise Mistake

    client = connect(serve(app))
    client.send(request() + request("GET", "/next"))
    with pytest.raises(Incomplete) as cut:
        client.read_response()
    assert cut.value.received == b"part"
    error_log.expect(Mistake)


def test_exception_after_the_response(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"complete")
        raise Mistake("after the response")

    client = connect(serve(failing(app)))
    client.send(request())
    response = client.read_response()
    assert (response.status, response.body) == (200, b"complete")
    error_log.expect(Mistake, "after the response")
    assert_next_is_answered_or_closed(client, response)


def test_missing_response(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)

    client = connect(serve(failing(app)))
    response = client.get()
    assert_plain_500(response)
    assert_next_is_answered_or_closed(client, response)
    error_log.expect()


def test_start_without_body(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)

    client = connect(serve(failing(app)))
    response = client.get()
    assert_plain_500(response)
    assert_next_is_answered_or_closed(client, response)
    error_log.expect()


def test_response_without_an_end(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"part", more=True)

    client = connect(serve(app))
    client.send(request() + request("GET", "/next"))
    with pytest.raises(Incomplete) as cut:
        client.read_response()
    assert cut.value.received == b"part"
    error_log.expect()


@pytest.mark.parametrize(("declared", "parts"), [(5, [b"123456"]), (0, [b"1"])])
def test_first_body_message_longer_than_its_content_length(
    serve: Serve, connect: Connect, error_log: ErrorLog, declared: int, parts: list[bytes]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, [(b"content-length", b"%d" % declared)])
        for part in parts:
            await body(send, part, more=part is not parts[-1])

    client = connect(serve(failing(app)))
    response = client.get()
    assert_plain_500(response)
    assert_next_is_answered_or_closed(client, response)
    assert error_log.expect().exc_info


def test_later_body_message_too_long_for_its_content_length(
    serve: Serve, connect: Connect, error_log: ErrorLog
) -> None:
    """What exceeds is never sent, for it would be taken for the next response; the response itself is cut or whole."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, [(b"content-length", b"5")])
        await body(send, b"123", more=True)
        await body(send, b"456", more=False)

    client = connect(serve(failing(app)))
    client.send(request() + request("GET", "/fine"))
    head = client.reader.head()
    assert head.status == 200
    assert client.read_all() in (b"123", b"12345")
    assert error_log.expect().exc_info


@pytest.mark.parametrize("parts", [[b"1234"], [b"12", b"34"], [b""]])
def test_body_shorter_than_its_content_length(
    serve: Serve, connect: Connect, error_log: ErrorLog, parts: list[bytes]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, [(b"content-length", b"5")])
        for part in parts[:-1]:
            await body(send, part, more=True)
        await body(send, parts[-1])

    client = connect(serve(failing(app)))
    client.send(request())
    with suppress(Incomplete):
        response = client.read_response()
        assert_plain_500(response)
        assert_next_is_answered_or_closed(client, response)
    assert error_log.expect().exc_info


START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
BODY: dict[str, Any] = {"type": "http.response.body", "body": b"body"}


@pytest.mark.parametrize(
    "messages",
    [
        [BODY],
        [START, START],
        [{"type": "http.unknown"}],
        [START, {"type": "http.unknown"}],
        [{"type": "websocket.accept"}],
        [{}],
        [{"type": "http.response.start"}, BODY],
        [{**START, "status": "200"}, BODY],
        [{**START, "status": None}, BODY],
        [{**START, "status": 99}, BODY],
        [{**START, "status": 1000}, BODY],
        [{**START, "status": 10**20}, BODY],
        [{**START, "headers": [("x-text", "text")]}, BODY],
        [{**START, "headers": [(b"x-none", None)]}, BODY],
        [{**START, "headers": [(b"content-length", b"five")]}, BODY],
        [{**START, "headers": [(b"content-length", b"-4")]}, BODY],
        [{**START, "headers": [(b"content-length", b"4"), (b"content-length", b"5")]}, BODY],
        [START, {**BODY, "body": "text"}],
        [START, {**BODY, "body": None}],
    ],
    ids=repr,
)
def test_message_that_cannot_be(
    serve: Serve, connect: Connect, error_log: ErrorLog, messages: list[dict[str, Any]]
) -> None:
    raised = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            for message in messages:
                await send(message)
        except Exception as error:
            raised.set(error)
            raise
        raised.set(None)

    client = connect(serve(failing(app)))
    response = client.get()
    assert raised.get() is not None
    assert_plain_500(response)
    assert_next_is_answered_or_closed(client, response)
    assert error_log.expect(type(raised.get())).exc_info


@pytest.mark.parametrize("length", ["five", "-4", "", "9" * 19, "9" * 40])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_log_names_the_length_that_is_none(
    serve: Serve, connect: Connect, error_log: ErrorLog, method: str, length: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, headers=[(b"content-length", length.encode())])
        await body(send, b"")

    client = connect(serve(app))
    client.send(request(method, "/"))
    assert client.read_response(method).status == 500
    error_log.expect(ValueError, f"invalid content-length in the response: b'{length}'")


def test_message_after_the_response_never_reaches_the_wire(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    """The spec lets the server ignore it; Uvicorn raises."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"complete")
        await body(send, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfake")

    client = connect(serve(failing(app)))
    response = client.get()
    assert response.body == b"complete"
    assert_next_is_answered_or_closed(client, response)
    error_log.claim_all()


@pytest.mark.parametrize("error", [asyncio.CancelledError, TimeoutError, StopAsyncIteration])
def test_odd_exceptions_end_in_an_answer_too(
    serve: Serve, connect: Connect, error_log: ErrorLog, error: type[BaseException]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    server = serve(failing(app))
    client = connect(server)
    client.send(request())
    data = client.read_response().status if client.reader.more() else None
    assert data in (500, None)
    assert connect(server).get("/fine").body == b"/fine"
    error_log.claim_all()


def test_oserror_of_the_application_itself_is_logged(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    """It is no sign of a client that has gone."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ConnectionRefusedError("the database is down")

    assert_plain_500(connect(serve(app)).get())
    error_log.expect(ConnectionRefusedError, "the database is down")


def test_error_in_one_connection_leaves_others_alone(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise Mistake

    server = serve(failing(app))
    failed, fine = connect(server), connect(server)
    failed.get()
    assert fine.get("/fine").body == b"/fine"
    error_log.expect(Mistake)


@pytest.mark.parametrize(("first", "comes_of_it"), [(ClientDisconnected("gone"), True), (Mistake("lost"), False)])
def test_long_chain_of_errors_is_followed_to_its_first(first: Exception, comes_of_it: bool) -> None:
    """As retries make it, each of which fails while the failure before it is handled."""
    chain = first
    for _ in range(2 * sys.getrecursionlimit()):
        following = Mistake("again")
        following.__context__ = chain
        chain = following
    assert is_disconnect(chain) == comes_of_it
