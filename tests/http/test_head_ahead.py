"""A head whose body is late goes ahead of it, as clients of server-sent events and of long answers wait for it."""

from pathlib import Path
from typing import Any

import pytest
from support.apps import Gate, body, start
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, request
from support.responses import Incomplete

from threadserve.types import Receive, Scope, Send

DATA = b"0123456789"
DECLARED = [(b"content-length", b"10")]


class Late:
    """Starts a response and goes on with `finish(send)` only once the gate is open."""

    def __init__(self, finish: Any, headers: list[tuple[bytes, bytes]] | None = None, **more: Any) -> None:
        self.gate = Gate()
        self.finish = finish
        self.headers = headers or []
        self.more = more

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, self.headers, **self.more)
        await self.gate.wait()
        await self.finish(send)


async def in_one(send: Send) -> None:
    await body(send, DATA)


async def in_parts(send: Send) -> None:
    await body(send, DATA[:4], more=True)
    await body(send, DATA[4:])


@pytest.mark.parametrize("finish", [in_one, in_parts])
@pytest.mark.parametrize("headers", [[], DECLARED])
def test_head_comes_while_the_body_is_awaited(
    serve: Serve, connect: Connect, finish: Any, headers: list[tuple[bytes, bytes]]
) -> None:
    app = Late(finish, headers)
    client = connect(serve(app))
    client.send(request())
    head = client.reader.head()
    assert head.status == 200
    app.gate.open()
    client.reader.read_body(head, "GET")
    assert head.body == DATA
    assert client.get("/").body == DATA


def test_head_of_a_response_to_http10(serve: Serve, connect: Connect) -> None:
    app = Late(in_parts)
    client = connect(serve(app))
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    head = client.reader.head()
    app.gate.open()
    assert (head.says_close, client.reader.rest()) == (True, DATA)


def test_head_of_a_response_without_content(serve: Serve, connect: Connect) -> None:
    app = Late(in_one)
    client = connect(serve(app))
    client.send(request("HEAD"))
    assert client.reader.head().status == 200
    app.gate.open()
    assert client.get("/").body == DATA


def test_trailers_after_a_head_that_went_ahead(serve: Serve, connect: Connect) -> None:
    async def finish(send: Send) -> None:
        await body(send, DATA)
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"45")]})

    app = Late(finish, trailers=True)
    client = connect(serve(app))
    client.send(request("GET", "/", "TE: trailers"))
    head = client.reader.head()
    app.gate.open()
    client.reader.read_body(head, "GET")
    assert (head.body, head.trailers) == (DATA, [(b"x-sum", b"45")])


@pytest.mark.parametrize("headers", [[], DECLARED])
@pytest.mark.parametrize("trailers", [False, True])
def test_file_after_a_head_that_went_ahead(
    serve: Serve, connect: Connect, tmp_path: Path, headers: list[tuple[bytes, bytes]], trailers: bool
) -> None:
    (tmp_path / "file").write_bytes(DATA)

    async def finish(send: Send) -> None:
        await send({"type": "http.response.pathsend", "path": str(tmp_path / "file")})
        if trailers:
            await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"45")]})

    app = Late(finish, headers, trailers=trailers)
    client = connect(serve(app, pathsend=True))
    client.send(request("GET", "/", "TE: trailers"))
    head = client.reader.head()
    app.gate.open()
    client.reader.read_body(head, "GET")
    assert head.body == DATA
    assert client.get("/").body == DATA


def raising(tmp_path: Path) -> Any:
    async def finish(send: Send) -> None:
        raise ValueError("too late")

    return finish


def sending_a_file_too_late(tmp_path: Path) -> Any:
    async def finish(send: Send) -> None:
        await body(send, b"part", more=True)
        await send({"type": "http.response.pathsend", "path": str(tmp_path / "file")})

    return finish


@pytest.mark.parametrize(
    ("finish", "error", "message"),
    [
        (raising, ValueError, "too late"),
        (sending_a_file_too_late, RuntimeError, "Unexpected ASGI message 'http.response.pathsend'"),
    ],
)
def test_error_after_a_head_that_went_ahead_breaks_the_response_off(
    serve: Serve,
    connect: Connect,
    error_log: ErrorLog,
    tmp_path: Path,
    finish: Any,
    error: type[Exception],
    message: str,
) -> None:
    app = Late(finish(tmp_path))
    client = connect(serve(app, pathsend=True))
    client.send(request())
    head = client.reader.head()
    app.gate.open()
    with pytest.raises(Incomplete):
        client.reader.read_body(head, "GET")
    error_log.expect(error, message)
