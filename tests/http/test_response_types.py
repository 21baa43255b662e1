"""What equals a value of the specification's type is taken, whatever its class; what does not is named in the log."""

import enum
from array import array
from http import HTTPStatus
from typing import Any

import pytest
from support.apps import body, respond, start
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.raw_client import Connect

from threadserve.types import Receive, Scope, Send


class Status(int, enum.Enum):
    """Statuses whose `str` is not their number."""

    CONFLICT = 409
    GONE = 410


class Text(bytes):
    """Bytes that are not quite."""


@pytest.mark.parametrize("status", [HTTPStatus.CONFLICT, Status.CONFLICT, 409.0], ids=repr)
def test_status_of_another_class(serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture, status: Any) -> None:
    sent: list[Any] = [status, 409, status]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"ok", sent.pop(0))

    client = connect(serve(app))
    for _ in range(3):
        response = client.get()
        assert (response.status, response.reason, response.body) == (409, "Conflict", b"ok")
    assert not sent


@pytest.mark.parametrize("status", [HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED])
def test_status_of_another_class_without_a_body(serve: Serve, connect: Connect, status: HTTPStatus) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, status)
        await body(send, b"ignored")

    client = connect(serve(app))
    assert [client.get().body, client.get().body] == [b"", b""]


@pytest.mark.parametrize("access_log_format", ["%(s)s", "json"])
def test_status_of_another_class_is_a_number_in_the_access_log(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture, access_log_format: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"", Status.GONE)

    server = serve(app, access_log_format=access_log_format)
    with caplog.at_level("INFO", "threadserve.access"):
        assert connect(server).get().status == 410
        server.stop()
    lines = [record.getMessage() for record in caplog.records if record.name == "threadserve.access"]
    assert len(lines) == 1
    assert lines[0] == "410" or '"status":410' in lines[0].replace(" ", "")


@pytest.mark.parametrize("status", [True, 200.5, "200", b"200", None, 199, HTTPStatus.CONTINUE, -200], ids=repr)
def test_what_is_no_status_is_named(serve: Serve, connect: Connect, error_log: ErrorLog, status: Any) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"", status)

    assert connect(serve(app)).get().status == 500
    error_log.expect(ValueError, f"invalid status in the response: {status!r}")


FIELD = (b"x-field", b"value")
LENGTH = (b"Content-Length", b"4")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, Text, lambda data: memoryview(bytearray(data))])
@pytest.mark.parametrize("pair", [tuple, list, iter])
def test_fields_and_bodies_of_another_class(serve: Serve, connect: Connect, kind: Any, pair: Any) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        fields = [pair([kind(name), kind(value)]) for name, value in (FIELD, LENGTH, FIELD)]
        await send({"type": "http.response.start", "status": 200, "headers": iter(fields)})
        await send({"type": "http.response.body", "body": kind(b"bo"), "more_body": 1})
        await send({"type": "http.response.body", "body": kind(b"dy"), "more_body": 0})

    client = connect(serve(app))
    for _ in range(2):
        response = client.get()
        assert (response.body, response.all("x-field")) == (b"body", [b"value"] * 2)
        assert response.all("content-length") == [b"4"]


def test_field_that_its_owner_changes_is_sent_as_it_is(serve: Serve, connect: Connect) -> None:
    value = bytearray(b"a")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        fields: list[Any] = [(b"x-field", value), (b"x-field", memoryview(value))]
        await respond(send, b"", headers=fields)
        value[0] += 1

    client = connect(serve(app))
    assert [client.get().all("x-field") for _ in range(3)] == [[b"a"] * 2, [b"b"] * 2, [b"c"] * 2]


def test_body_that_its_owner_changes_is_sent_as_it_was(serve: Serve, connect: Connect) -> None:
    """It may still wait for its client then."""
    size = 3_000_000

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        data: Any = bytearray(b"x" * size)
        await start(send)
        await body(send, data, more=True)
        data[:] = b"y"
        await body(send)

    client = connect(serve(app), receive_buffer=65536)
    assert client.get().body == b"x" * size


@pytest.mark.parametrize("data", [array("I", [1, 2, 3]), memoryview(b"abcdef").cast("B", (2, 3))], ids=["array", "2D"])
def test_body_is_measured_in_bytes(serve: Serve, connect: Connect, data: Any) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, data)

    client = connect(serve(app))
    assert [client.get().body, client.get().body] == [bytes(data), bytes(data)]


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ((b"x-field", "text"), "(b'x-field', 'text')"),
        (("x-field", b"value"), "('x-field', b'value')"),
        ((b"x-field", 5), "(b'x-field', 5)"),
        ((b"content-length", 5), "(b'content-length', 5)"),
        ((b"x-field",), "(b'x-field',)"),
        ((b"a", b"b", b"c"), "(b'a', b'b', b'c')"),
        (b"xy", "b'xy'"),
        (None, "None"),
    ],
)
def test_what_is_no_field_is_named(serve: Serve, connect: Connect, error_log: ErrorLog, field: Any, named: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"", headers=[field])

    assert connect(serve(app)).get().status == 500
    error_log.expect(TypeError, f"two bytes, not {named}")


@pytest.mark.parametrize("data", ["text", None, 4, [b"text"]], ids=repr)
@pytest.mark.parametrize("more", [False, True])
def test_what_is_no_body_is_named(serve: Serve, connect: Connect, error_log: ErrorLog, data: Any, more: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, data, more=more)

    assert connect(serve(app)).get().status == 500
    error_log.expect(TypeError, f"the body of a response is bytes, not {data!r}")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([b"4", b"5"], "4 and 5"),
        ([b"4, 5"], "4 and 5"),
        ([b"five"], "b'five'"),
        ([b"4", b"-4"], "b'-4'"),
        ([b""], "b''"),
        ([b"4,"], "b'4,'"),
    ],
)
def test_content_length_that_cannot_be_is_named(
    serve: Serve, connect: Connect, error_log: ErrorLog, values: list[bytes], named: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, [(b"content-length", value) for value in values])
        await body(send, b"body")

    assert connect(serve(app)).get().status == 500
    error_log.expect(ValueError, named)


def test_trailers_and_early_hints_of_another_class(serve: Serve, connect: Connect) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.early_hint", "links": (bytearray(b"</a>"), memoryview(b"</b>"))})
        await start(send, 200, trailers=1)
        await body(send, b"body")
        await send({"type": "http.response.trailers", "more_trailers": 1})
        await send({"type": "http.response.trailers", "headers": ([bytearray(b"x-sum"), memoryview(b"1")],)})

    client = connect(serve(app))
    for _ in range(2):
        response = client.get("/", "TE: trailers", "Connection: TE")
        assert [interim.all("link") for interim in response.interim] == [[b"</a>", b"</b>"]]
        assert (response.body, response.trailers) == (b"body", [(b"x-sum", b"1")])
