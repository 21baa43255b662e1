"""What applications answer over HTTP/2, and how exchanges end: by the application, by the client, or by a fault."""

import asyncio
import json
import logging
import re
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame
from support.access_console import Seen
from support.apps import Disconnected, Gate, Outcome, Recorder, body, echo_body, hello, read_body, respond, start
from support.bounds import give_bounds
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.http2_client import ConnectH2, H2Client
from support.loggers import access, restored_loggers
from support.waiting import wait_until

from threadserve.types import ASGIApp, Receive, Scope, Send

DATA = bytes(range(256)) * 12_000


def answering(respond_to: Callable[[Send], Awaitable[None]]) -> ASGIApp:
    """An application that answers /fine with hello, and everything else with this."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/fine":
            await hello(scope, receive, send)
        else:
            await respond_to(send)

    return app


def check_goes_on(client: H2Client) -> None:
    """Checks that a connection is still good for a request."""
    assert client.get("/fine").body == b"/fine"
    assert client.goaways == []


# Framing.


@pytest.mark.parametrize("status", [200, 201, 206, 404, 500, 599, 999])
def test_whole_body_gets_a_length(serve: Serve, connect_h2: ConnectH2, status: int) -> None:
    async def send_whole(send: Send) -> None:
        await start(send, status)
        await body(send, b"hello")

    client = connect_h2(serve(answering(send_whole)))
    response = client.get()
    assert (response.status, response.body, response.header("content-length")) == (status, b"hello", b"5")
    check_goes_on(client)


def test_empty_body_ends_with_the_head(serve: Serve, connect_h2: ConnectH2) -> None:
    async def send_empty(send: Send) -> None:
        await start(send)
        await body(send)

    client = connect_h2(serve(answering(send_empty)))
    assert client.get().header("content-length") == b"0"
    assert not [frame for frame in client.frames if isinstance(frame, DataFrame)]


@pytest.mark.parametrize("parts", [[b"one", b"two"], [b"", b"one", b"", b"two"], [b"onetwo", b""]])
def test_parts_get_no_length(serve: Serve, connect_h2: ConnectH2, parts: list[bytes]) -> None:
    async def send_parts(send: Send) -> None:
        await start(send)
        for number, part in enumerate(parts):
            await body(send, part, more=number < len(parts) - 1)

    client = connect_h2(serve(answering(send_parts)))
    for _ in range(2):
        response = client.get()
        assert (response.body, response.header("content-length")) == (b"onetwo", None)


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("parts", [[b""], [b"", b""], [b"dropped"], [b"dro", b"pped"]])
@pytest.mark.parametrize("length", [None, b"0", b"7"])
def test_statuses_without_content(
    serve: Serve, connect_h2: ConnectH2, status: int, parts: list[bytes], length: bytes | None
) -> None:
    async def send_nothing(send: Send) -> None:
        await start(send, status, [] if length is None else [(b"content-length", length)])
        for number, part in enumerate(parts):
            await body(send, part, more=number < len(parts) - 1)

    client = connect_h2(serve(answering(send_nothing)))
    response = client.get()
    assert (response.status, response.body) == (status, b"")
    assert response.is_complete
    if status == 204:
        assert response.header("content-length") is None
    elif length is not None:
        assert response.header("content-length") == length
    check_goes_on(client)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("parts", [[b"hello"], [b"hel", b"lo"], [b"hello", b""]])
def test_head_gets_no_body(serve: Serve, connect_h2: ConnectH2, declared: bool, parts: list[bytes]) -> None:
    async def send_parts(send: Send) -> None:
        await start(send, 200, [(b"content-length", b"5")] if declared else [])
        for number, part in enumerate(parts):
            await body(send, part, more=number < len(parts) - 1)

    client = connect_h2(serve(answering(send_parts)))
    response = client.get(method="HEAD")
    assert (response.status, response.body, response.is_complete) == (200, b"", True)
    is_known = declared or len(parts) == 1
    assert response.header("content-length") == (b"5" if is_known else None)
    check_goes_on(client)


def test_head_whose_application_raises_when_its_stream_is_long_closed(
    serve: Serve, connect_h2: ConnectH2, error_log: ErrorLog
) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/fine":
            await hello(scope, receive, send)
            return
        await start(send)
        await body(send, b"part", more=True)
        await gate.wait()
        raise ValueError("wanted")

    client = connect_h2(serve(app))
    assert client.get("/", method="HEAD").is_complete
    for _ in range(200):
        check_goes_on(client)
    gate.open()
    error_log.expect(ValueError, "wanted")
    check_goes_on(client)


# Fields.


def test_fields_are_sent_as_http2_has_them(serve: Serve, connect_h2: ConnectH2) -> None:
    async def send_fields(send: Send) -> None:
        headers = [
            (b"Content-Type", b"text/plain"),
            (b"X-One", b" 1\t"),
            (b"X-ONE", b"2"),
            (b"Set-Cookie", b"a=b"),
            (b"set-cookie", b"c=d"),
            (b"Connection", b"close"),
            (b"connection", b"x-one"),
            (b"Proxy-Connection", b"close"),
            (b"Keep-Alive", b"timeout=5"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Upgrade", b"websocket"),
        ]
        await start(send, 200, headers)
        await body(send, b"hello")

    client = connect_h2(serve(answering(send_fields), date_header=False, server_header=False))
    for _ in range(3):
        assert client.get().headers == [
            (b"content-type", b"text/plain"),
            (b"x-one", b"1"),
            (b"x-one", b"2"),
            (b"set-cookie", b"a=b"),
            (b"set-cookie", b"c=d"),
            (b"content-length", b"5"),
        ]


def test_default_fields(serve: Serve, connect_h2: ConnectH2) -> None:
    response = connect_h2(serve(hello, headers=[("X-Default", "1")])).get()
    assert response.header("server") == b"threadserve"
    assert re.fullmatch(rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", response.header("date") or b"")
    assert response.header("x-default") == b"1"


def test_fields_of_the_application_take_the_place_of_ours(serve: Serve, connect_h2: ConnectH2) -> None:
    async def send_own(send: Send) -> None:
        await respond(send, b"", 200, [(b"Server", b"own"), (b"Date", b"today")])

    client = connect_h2(serve(answering(send_own)))
    for _ in range(2):
        response = client.get()
        assert (response.header("server"), response.header("date")) == (b"own", b"today")
    fine = client.get("/fine")
    assert fine.header("server") == b"threadserve"
    assert fine.header("date") != b"today"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ([(b"x-a", b"1\r\nx-b: 2")], ValueError),
        ([(b"x-a", b"1\n2")], ValueError),
        ([(b"x-a", b"1\x002")], ValueError),
        ([(b"x a", b"1")], ValueError),
        ([(b"", b"1")], ValueError),
        ([(b":status", b"201")], ValueError),
        ([(b"x-a:", b"1")], ValueError),
        ([("x-a", "1")], TypeError),
        ([(b"x-a", None)], TypeError),
        ([(b"content-length", b"five")], ValueError),
        ([(b"content-length", b"5"), (b"content-length", b"6")], ValueError),
        ([b"x-a"], TypeError),
    ],
)
def test_fields_that_would_break_the_response(
    serve: Serve, connect_h2: ConnectH2, error_log: ErrorLog, fields: Any, error: type[Exception]
) -> None:
    async def send_fields(send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await body(send, b"hello")

    client = connect_h2(serve(answering(send_fields)))
    response = client.get()
    assert (response.status, response.body) == (500, b"Internal Server Error")
    assert response.header("connection") is None
    error_log.expect(error)
    check_goes_on(client)


@pytest.mark.parametrize("status", [100, 101, 103, 199, 0, 1000, -1, "200", None])
def test_statuses_that_are_none(serve: Serve, connect_h2: ConnectH2, error_log: ErrorLog, status: Any) -> None:
    async def send_status(send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})

    client = connect_h2(serve(answering(send_status)))
    assert client.get().status == 500
    error_log.expect(ValueError, "invalid status")
    check_goes_on(client)


# Extensions.


def trailing(*trailers: list[tuple[bytes, bytes]], headers: list[tuple[bytes, bytes]] | None = None) -> ASGIApp:
    """Streams a body and trailers in so many messages."""

    async def send_trailing(send: Send) -> None:
        await start(send, 200, headers or [], trailers=True)
        await body(send, b"one", more=True)
        await body(send, b"two")
        for number, fields in enumerate(trailers):
            more = number < len(trailers) - 1
            await send({"type": "http.response.trailers", "headers": fields, "more_trailers": more})

    return answering(send_trailing)


def test_trailers_are_sent_to_a_client_that_takes_them(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(trailing([(b"X-Sum", b"1")], [(b"x-other", b"2"), (b"Connection", b"close")])))
    for _ in range(2):
        response = client.get("/", [("te", "trailers")])
        assert (response.body, response.is_complete) == (b"onetwo", True)
        assert response.header("content-length") is None
        assert response.trailers == [(b"x-sum", b"1"), (b"x-other", b"2")]
    check_goes_on(client)


def test_trailers_alone_behind_an_empty_body(serve: Serve, connect_h2: ConnectH2) -> None:
    async def send_trailers(send: Send) -> None:
        await start(send, trailers=True)
        await body(send)
        await send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]})

    client = connect_h2(serve(answering(send_trailers)))
    response = client.get("/", [("te", "trailers")])
    assert (response.body, response.trailers, response.is_complete) == (b"", [(b"grpc-status", b"0")], True)


def test_no_trailers_after_all_end_the_response(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(trailing([])))
    response = client.get("/", [("te", "trailers")])
    assert (response.body, response.trailers, response.is_complete) == (b"onetwo", [], True)


def test_trailers_wait_for_the_window_as_their_body_does(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(trailing([(b"x-sum", b"1")])), {SettingsFrame.INITIAL_WINDOW_SIZE: 4})
    client.takes = False
    stream_id = client.open("/", [("te", "trailers")])
    response = client.response(stream_id)
    client.read_until(lambda: len(response.body) == 4)
    client.synchronize()
    assert (response.trailers, response.is_complete) == ([], False)
    client.widen(2, stream_id)
    assert client.read(stream_id).trailers == [(b"x-sum", b"1")]


@pytest.mark.parametrize("case", ["not asked for", "of a known length", "of a HEAD"])
def test_trailers_are_dropped_for_others(serve: Serve, connect_h2: ConnectH2, case: str) -> None:
    headers = [(b"content-length", b"6")] if case == "of a known length" else []
    client = connect_h2(serve(trailing([(b"x-sum", b"1")], headers=headers)))
    method = "HEAD" if case == "of a HEAD" else "GET"
    for _ in range(2):
        response = client.get("/", [] if case == "not asked for" else [("te", "trailers")], method=method)
        assert (response.body, response.trailers) == (b"" if method == "HEAD" else b"onetwo", [])
        assert response.is_complete
    check_goes_on(client)


def test_response_ends_only_with_its_trailers(serve: Serve, connect_h2: ConnectH2, error_log: ErrorLog) -> None:
    client = connect_h2(serve(trailing()))
    response = client.get("/", [("te", "trailers")])
    assert (response.is_complete, response.reset) == (False, ErrorCodes.INTERNAL_ERROR)
    error_log.expect(text="without completing response")
    check_goes_on(client)


LINKS = [b"</style.css>; rel=preload; as=style", b"</app.js>; rel=preload"]


@pytest.mark.parametrize("when", ["before the start", "after the start", "after the first body"])
def test_early_hints(serve: Serve, connect_h2: ConnectH2, when: str) -> None:
    async def send_hints(send: Send) -> None:
        hint = {"type": "http.response.early_hint", "links": LINKS}
        if when == "before the start":
            await send(hint)
        await start(send)
        if when == "after the start":
            await send(hint)
        await body(send, b"one", more=True)
        if when == "after the first body":
            await send(hint)
        await body(send, b"two")

    client = connect_h2(serve(answering(send_hints)))
    for _ in range(2):
        response = client.get()
        assert (response.status, response.body) == (200, b"onetwo")
        hints = [] if when == "after the first body" else [(103, [(b"link", link) for link in LINKS])]
        assert response.informational == hints


def test_early_hint_is_sent_at_once(serve: Serve, connect_h2: ConnectH2) -> None:
    gate = Gate()

    async def send_hint(send: Send) -> None:
        await send({"type": "http.response.early_hint", "links": LINKS})
        await gate.wait()
        await respond(send, b"hello")

    client = connect_h2(serve(answering(send_hint)))
    stream_id = client.open()
    client.read_until(lambda: client.response(stream_id).informational)
    assert client.response(stream_id).status == 0
    gate.open()
    assert client.read(stream_id).body == b"hello"


def test_body_that_is_expected_is_asked_for(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(echo_body))
    stream_id = client.open("/", [("expect", "100-continue")], method="POST", ends=False)
    client.read_until(lambda: client.response(stream_id).informational)
    client.send_data(stream_id, b"hello", ends=True)
    response = client.read(stream_id)
    assert response.informational == [(100, [])]
    assert (response.status, response.body) == (200, b"hello")


def test_body_that_nobody_reads_is_not_asked_for(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(hello))
    stream_id = client.open("/", [("expect", "100-continue")], method="POST", ends=False)
    response = client.read(stream_id)
    assert (response.status, response.informational) == (200, [])
    client.send_data(stream_id, b"", ends=True)
    check_goes_on(client)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize("declared", [True, False])
def test_pathsend(serve: Serve, connect_h2: ConnectH2, loop: str, file: Path, declared: bool) -> None:
    async def send_file(send: Send) -> None:
        await start(send, 200, [(b"content-length", b"%d" % len(DATA))] if declared else [])
        await send({"type": "http.response.pathsend", "path": str(file)})

    client = connect_h2(serve(answering(send_file), pathsend=True, loop=loop))
    streams = [client.open() for _ in range(3)]
    check_goes_on(client)
    for stream_id in streams:
        response = client.read(stream_id)
        assert response.header("content-length") == b"%d" % len(DATA)
        assert response.body == DATA
    head = client.get(method="HEAD")
    assert (head.header("content-length"), head.body, head.is_complete) == (b"%d" % len(DATA), b"", True)


def test_pathsend_of_an_empty_file(serve: Serve, connect_h2: ConnectH2, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    async def send_file(send: Send) -> None:
        await start(send)
        await send({"type": "http.response.pathsend", "path": str(tmp_path / "empty")})

    response = connect_h2(serve(answering(send_file), pathsend=True)).get()
    assert (response.header("content-length"), response.body, response.is_complete) == (b"0", b"", True)


def test_pathsend_to_a_client_that_resets(serve: Serve, connect_h2: ConnectH2, file: Path) -> None:
    ended = Outcome()

    async def send_file(send: Send) -> None:
        await start(send)
        await send({"type": "http.response.pathsend", "path": str(file)})
        ended.set()

    client = connect_h2(serve(answering(send_file), pathsend=True), takes=False)
    stream_id = client.open()
    client.read_until(lambda: client.response(stream_id).body)
    client.reset(stream_id)
    ended.get()
    client.takes = True
    client.widen(65535)
    check_goes_on(client)


# Faults of the application.


@pytest.mark.parametrize(
    "parts",
    [[b"hello!"], [b"hello", b"!"], [b"hell"], [b"hel", b"l"], [b""], [b"hello", b"!", b""]],
    ids=["too long", "too long in parts", "too short", "too short in parts", "empty", "too long in the middle"],
)
def test_body_that_is_not_as_long_as_declared(
    serve: Serve, connect_h2: ConnectH2, error_log: ErrorLog, parts: list[bytes]
) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/other":
            await start(send)
            await body(send, b"one", more=True)
            await gate.wait()
            await body(send, b"two")
            return
        await start(send, 200, [(b"content-length", b"5")])
        for number, part in enumerate(parts):
            await body(send, part, more=number < len(parts) - 1)

    client = connect_h2(serve(app))
    other = client.open("/other")
    client.read_until(lambda: client.response(other).body == b"one")
    response = client.get()
    if len(parts) == 1:
        assert response.status == 500
    else:
        assert (response.status, response.is_complete, response.reset) == (200, False, ErrorCodes.INTERNAL_ERROR)
    error_log.expect(RuntimeError, "than Content-Length")
    gate.open()
    assert client.read(other).body == b"onetwo"


@pytest.mark.parametrize("when", ["before the start", "after the start", "within the body"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_application_that_raises(
    serve: Serve, connect_h2: ConnectH2, error_log: ErrorLog, when: str, method: str
) -> None:
    async def raise_error(send: Send) -> None:
        if when != "before the start":
            await start(send, 200, [(b"x-a", b"1")])
        if when == "within the body":
            await body(send, b"part", more=True)
        raise ValueError("wanted")

    client = connect_h2(serve(answering(raise_error)))
    response = client.get(method=method)
    if when != "within the body":
        assert (response.status, response.is_complete) == (500, True)
        assert response.body == (b"" if method == "HEAD" else b"Internal Server Error")
        assert response.header("x-a") is None
        assert response.header("connection") is None
    elif method != "HEAD":
        assert (response.status, response.reset) == (200, ErrorCodes.INTERNAL_ERROR)
    error_log.expect(ValueError, "wanted")
    check_goes_on(client)


@pytest.mark.parametrize("begun", [None, "head", "body"])
def test_application_that_returns_without_a_response(
    serve: Serve, connect_h2: ConnectH2, error_log: ErrorLog, begun: str | None
) -> None:
    async def leave(send: Send) -> None:
        if begun:
            await start(send)
        if begun == "body":
            await body(send, b"part", more=True)

    client = connect_h2(serve(answering(leave)))
    response = client.get()
    if begun == "body":
        assert (response.status, response.reset) == (200, ErrorCodes.INTERNAL_ERROR)
    else:
        assert (response.status, response.is_complete) == (500, True)
    error_log.expect(text=f"without {'completing' if begun else 'starting'} response")
    check_goes_on(client)


# Bodies of requests.


def test_trailers_of_a_request_are_let_go(serve: Serve, connect_h2: ConnectH2) -> None:
    recorder = Recorder(echo_body)
    client = connect_h2(serve(recorder))
    stream_id = client.open("/", method="POST", ends=False)
    client.send_data(stream_id, b"hello")
    client.send_block(stream_id, [("x-sum", "1"), ("content-length", "7")])
    assert client.read(stream_id).body == b"hello"
    assert recorder.bodies == [b"hello"]
    assert b"x-sum" not in dict(recorder.scopes[0]["headers"])


def test_trailers_end_a_body_that_the_application_waits_for(serve: Serve, connect_h2: ConnectH2) -> None:
    gate, ended = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        first = await receive()
        gate.arrived += 1
        ended.set([first, await receive()])
        await respond(send, b"ok")

    client = connect_h2(serve(app))
    stream_id = client.open("/", method="POST", ends=False)
    client.send_data(stream_id, b"hello")
    gate.wait_for_arrivals()
    client.send_block(stream_id, [("x-sum", "1")])
    assert client.read(stream_id).body == b"ok"
    assert ended.get() == [
        {"type": "http.request", "body": b"hello", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": False},
    ]


def test_response_before_the_body_of_its_request(serve: Serve, connect_h2: ConnectH2) -> None:
    """The client goes on to send what it has, and is not told to stop by a reset that could cost it the answer."""
    client = connect_h2(serve(hello))
    for _ in range(3):
        stream_id = client.open("/early", [("content-length", "1048576")], method="POST", ends=False)
        assert client.read(stream_id).body == b"/early"
        for _ in range(16):
            client.send_data(stream_id, b"x" * 65536)
            client.synchronize()
        client.send_data(stream_id, ends=True)
        client.synchronize()
        assert client.response(stream_id).reset is None
    check_goes_on(client)


def test_too_much_of_a_body_that_nobody_asks_for(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, max_discard_bytes=100_000)
    client = connect_h2(serve(hello))
    stream_id = client.open("/early", method="POST", ends=False)
    response = client.read(stream_id)
    assert (response.body, response.is_complete) == (b"/early", True)
    client.send_data(stream_id, b"x" * 100_000)
    client.synchronize()
    assert response.reset is None
    client.send_data(stream_id, b"x" * 10)
    client.read_until(lambda: response.reset is not None)
    assert response.reset == ErrorCodes.NO_ERROR
    check_goes_on(client)


def test_too_much_of_such_a_body_at_its_end(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, max_discard_bytes=1000)
    client = connect_h2(serve(hello))
    stream_id = client.open("/early", method="POST", ends=False)
    assert client.read(stream_id).body == b"/early"
    client.send_data(stream_id, b"x" * 1001, ends=True)
    check_goes_on(client)


@pytest.mark.parametrize("end", ["data", "trailers"])
def test_body_whose_answer_is_sent_is_shorter_than_its_length(serve: Serve, connect_h2: ConnectH2, end: str) -> None:
    client = connect_h2(serve(hello))
    stream_id = client.open("/early", [("content-length", "6")], method="POST", ends=False)
    assert client.read(stream_id).body == b"/early"
    if end == "data":
        client.send_data(stream_id, b"12345", ends=True)
    else:
        client.send_data(stream_id, b"12345")
        client.send_block(stream_id, [("x-sum", "1")])
    check_goes_on(client)


def wait_for_window(client: H2Client, size: int) -> None:
    """Waits until the server lets its client send so much more on the connection, less what has been sent."""

    def window() -> int:
        updates = [frame for frame in client.frames if isinstance(frame, WindowUpdateFrame) and not frame.stream_id]
        return 65535 + sum(frame.window_increment for frame in updates)

    client.read_until(lambda: window() >= size)


@pytest.mark.parametrize("is_read", [True, False], ids=["read", "not read"])
def test_bodies_give_the_connection_its_window_back(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch, is_read: bool
) -> None:
    """Each body comes in one frame, which ends its stream; together they are more than the window holds."""
    give_bounds(monkeypatch, connection_window_bytes=100_000)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if is_read:
            with suppress(Disconnected):
                await read_body(receive)
        await respond(send, b"ok")

    client = connect_h2(serve(app))
    sent = 0
    for _ in range(50):
        stream_id = client.open("/", method="POST", ends=False)
        wait_for_window(client, sent + 10_000)
        client.send_data(stream_id, b"x" * 10_000, ends=True)
        sent += 10_000
        assert client.read(stream_id).status == 200


def test_window_of_a_body_that_the_application_leaves(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has not asked for when its stream is reset is no loss of the others."""
    give_bounds(monkeypatch, connection_window_bytes=300_000, body_buffer_bytes=1000)
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/fine":
            await echo_body(scope, receive, send)
        else:
            await gate.wait()

    client = connect_h2(serve(app))
    sent = 0
    for number in range(1, 6):
        stream_id = client.open("/", method="POST", ends=False)
        wait_for_window(client, sent + 140_000)
        client.send_data(stream_id, b"x" * 140_000)
        sent += 140_000
        gate.wait_for_arrivals(number)
        client.reset(stream_id)
    assert client.post("/fine", b"hello").body == b"hello"
    gate.open()


# Clients that go.


def test_reset_is_a_disconnect(serve: Serve, connect_h2: ConnectH2) -> None:
    gate, told, completed = Gate(), Outcome(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/fine":
            await hello(scope, receive, send)
            return
        await read_body(receive)
        gate.arrived += 1
        told.set([await receive(), await receive()])
        await start(send)
        for _ in range(3):
            await body(send, b"too late", more=True)
        await body(send, b"too late")
        completed.set()

    client = connect_h2(serve(app))
    stream_id = client.open()
    gate.wait_for_arrivals()
    client.reset(stream_id)
    assert told.get() == [{"type": "http.disconnect"}] * 2
    completed.get()
    check_goes_on(client)
    assert client.response(stream_id).status == 0


def test_reset_in_the_middle_of_a_body(serve: Serve, connect_h2: ConnectH2) -> None:
    gate, messages = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        first = await receive()
        gate.arrived += 1
        messages.set([first, await receive()])

    client = connect_h2(serve(app))
    stream_id = client.open("/", method="POST", ends=False)
    client.send_data(stream_id, b"abc")
    gate.wait_for_arrivals()
    client.reset(stream_id)
    assert messages.get() == [
        {"type": "http.request", "body": b"abc", "more_body": True},
        {"type": "http.disconnect"},
    ]


def test_disconnect_follows_a_complete_response(serve: Serve, connect_h2: ConnectH2) -> None:
    told = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await respond(send, b"ok")
        told.set(await receive())

    assert connect_h2(serve(app)).get().body == b"ok"
    assert told.get() == {"type": "http.disconnect"}


@pytest.mark.parametrize("waits", [True, False], ids=["waits for the client", "does not wait"])
def test_endless_stream_ends_when_its_client_resets_it(serve: Serve, connect_h2: ConnectH2, waits: bool) -> None:
    ended = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/fine":
            await hello(scope, receive, send)
            return
        try:
            await start(send)
            while True:
                await body(send, b"x" * (65536 if waits else 8192), more=True)
                await asyncio.sleep(0)
        except BaseException as error:
            ended.set(error)
            raise

    client = connect_h2(serve(app), takes=not waits)
    stream_id = client.open()
    client.read_until(lambda: client.response(stream_id).body)
    client.reset(stream_id)
    assert isinstance(ended.get(), OSError)
    client.takes = True
    client.widen(65535)
    check_goes_on(client)


def test_endless_stream_ends_with_its_connection(serve: Serve, connect_h2: ConnectH2) -> None:
    ended = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await start(send)
            while True:
                await body(send, b"x" * 65536, more=True)
        except BaseException as error:
            ended.set(error)
            raise

    client = connect_h2(serve(app), takes=False)
    stream_id = client.open()
    client.read_until(lambda: client.response(stream_id).body)
    client.close()
    assert isinstance(ended.get(), OSError)


def test_reset_of_one_stream_leaves_the_others(serve: Serve, connect_h2: ConnectH2) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await hello(scope, receive, send)

    client = connect_h2(serve(app))
    streams = [client.open(f"/{number}") for number in range(20)]
    gate.wait_for_arrivals(20)
    for stream_id in streams[::2]:
        client.reset(stream_id)
    client.synchronize()
    gate.open()
    for number in range(1, 20, 2):
        assert client.read(streams[number]).body == f"/{number}".encode()
    assert all(client.response(stream_id).status == 0 for stream_id in streams[::2])


def test_stream_of_small_parts_to_a_client_that_takes_each_by_itself(serve: Serve, connect_h2: ConnectH2) -> None:
    """Telling of each that it was taken is no flood, however many there are."""

    async def send_parts(send: Send) -> None:
        await start(send)
        for _ in range(1000):
            await body(send, b"x" * 100, more=True)
            await asyncio.sleep(0)
        await body(send)

    client = connect_h2(serve(answering(send_parts)))
    assert len(client.get().body) == 100_000
    check_goes_on(client)


# Threads.


def test_send_on_another_thread(serve: Serve, connect_h2: ConnectH2) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def respond_there() -> None:
            await start(send)
            for _ in range(20):
                await body(send, b"x" * 50_000, more=True)
            await body(send, b"end")

        await asyncio.to_thread(asyncio.run, respond_there())

    client = connect_h2(serve(app))
    streams = [client.open() for _ in range(4)]
    for stream_id in streams:
        response = client.read(stream_id)
        assert (response.status, response.body) == (200, b"x" * 1_000_000 + b"end")


def test_two_loop_threads(serve: Serve, connect_h2: ConnectH2) -> None:
    names: set[str] = set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        names.add(threading.current_thread().name)
        await echo_body(scope, receive, send)

    server = serve(app, threads=2)
    clients: list[H2Client] = []

    def is_spread() -> bool:
        client = connect_h2(server)
        clients.append(client)
        data = bytes([len(clients)]) * 100_000
        assert client.post("/", data).body == data
        return len(names) == 2

    wait_until(is_spread, "connections on both threads")
    for client in clients:
        assert client.post("/", b"again").body == b"again"


# The access log.


def test_access_log(serve: Serve, connect_h2: ConnectH2, error_log: ErrorLog) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/raises":
            raise ValueError("wanted")
        if scope["path"] == "/reset":
            gate.arrived += 1
            await receive()
            await receive()
            return
        if scope["path"] == "/empty":
            await respond(send, b"", 204)
            return
        await hello(scope, receive, send)

    seen = Seen()
    with restored_loggers():
        access.setLevel(logging.INFO)
        access.addHandler(seen)
        client = connect_h2(serve(app, access_log=True))
        expected = []
        for path, method, status in [
            ("/a%20b?c=d", "GET", 200),
            ("/head", "HEAD", 200),
            ("/empty", "DELETE", 204),
            ("/raises", "GET", 500),
        ]:
            client.get(path, method=method)
            expected.append((method, path, status))
            wait_until(lambda: len(seen.messages) >= len(expected), f"the line of {path}")
        stream_id = client.open("/reset")
        gate.wait_for_arrivals()
        client.reset(stream_id)
        expected.append(("GET", "/reset", 499))
        wait_until(lambda: len(seen.messages) == len(expected), "the line of /reset")
    assert all(message.startswith("127.0.0.1:") for message in seen.messages)
    assert [message.partition(" - ")[2] for message in seen.messages] == [
        f'"{method} {path} HTTP/2" {status}' for method, path, status in expected
    ]
    error_log.expect(ValueError, "wanted")


def test_extensions_are_advertised(serve: Serve, connect_h2: ConnectH2) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, json.dumps(sorted(scope["extensions"])).encode())

    http = ["http.response.early_hint", "http.response.pathsend", "http.response.trailers"]
    client = connect_h2(serve(app, pathsend=True))
    assert json.loads(client.get().body) == [*http, "threadserve.cancel_on_disconnect"]


def test_frames_after_a_reset_of_the_servers_are_ignored(
    serve: Serve, connect_h2: ConnectH2, error_log: ErrorLog
) -> None:
    async def fail(send: Send) -> None:
        await start(send)
        await body(send, b"part", more=True)
        raise ValueError("wanted")

    client = connect_h2(serve(answering(fail)))
    stream_id = client.open("/", method="POST", ends=False)
    assert client.read(stream_id).reset == ErrorCodes.INTERNAL_ERROR
    for _ in range(5):
        client.send_data(stream_id, b"under way")
    client.widen(10, stream_id)
    check_goes_on(client)
    error_log.expect(ValueError, "wanted")
    resets = [frame for frame in client.frames if isinstance(frame, RstStreamFrame)]
    assert len(resets) == 1
