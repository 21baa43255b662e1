"""Responses as PEP 3333 has them: start_response, write, results of all kinds, their close."""

import io
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, request
from support.responses import Incomplete
from support.waiting import DEADLINE
from support.wsgi_apps import PLAIN, Closing, Environ, Pieces, StartResponse, with_start

PIECE = 65536
number: ContextVar[str] = ContextVar("number", default="none")


def in_one(result: Iterable[bytes], headers: Any = PLAIN) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """An application with this result."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", list(headers))
        return result

    return app


@pytest.mark.parametrize("result", [[b"hello"], (b"hello",), [b"he", b"llo"], [b"", b"hello", b""]], ids=repr)
def test_length_of_a_finished_result_is_inferred(serve: Serve, connect: Connect, result: Iterable[bytes]) -> None:
    client = connect(serve(in_one(result)))
    for _ in range(2):
        response = client.get()
        assert (response.body, response.header("content-length")) == (b"hello", b"5")


def test_empty_result(serve: Serve, connect: Connect) -> None:
    client = connect(serve(in_one([])))
    assert client.get().header("content-length") == b"0"
    assert client.get().body == b""


def test_large_finished_result_has_its_length_too(serve: Serve, connect: Connect) -> None:
    body = bytes(range(256)) * 20000
    client = connect(serve(in_one([body])))
    for _ in range(2):
        response = client.get()
        assert response.header("content-length") == b"%d" % len(body)
        assert response.body == body


def test_many_small_pieces(serve: Serve, connect: Connect) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        for number in range(5000):
            yield b"%d " % number

    client = connect(serve(app))
    for _ in range(2):
        assert client.get().body == b"".join(b"%d " % number for number in range(5000))


def test_start_response_may_come_in_the_generator(serve: Serve, connect: Connect) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        yield b""
        start_response("201 Created", PLAIN)
        yield b"late"

    response = connect(serve(app)).get()
    assert (response.status, response.body) == (201, b"late")


def test_piece_is_sent_before_the_next_is_asked_for(serve: Serve, connect: Connect) -> None:
    go_on = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [*PLAIN, ("Content-Length", "10")])
        yield b"first"
        assert go_on.wait(DEADLINE)
        yield b"later"

    client = connect(serve(app))
    client.send(request())
    client.reader.head()
    assert client.reader.take(5) == b"first"
    go_on.set()
    assert client.reader.take(5) == b"later"
    assert client.get().body == b"firstlater"


def test_write_comes_before_the_result(serve: Serve, connect: Connect) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", PLAIN)
        write(b"one ")
        write(b"")
        write(b"two ")
        return [b"three"]

    client = connect(serve(app))
    for _ in range(2):
        assert client.get().body == b"one two three"


def test_exc_info_replaces_the_head_before_it_went_out(serve: Serve, connect: Connect) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [*PLAIN, ("Content-Length", "1000"), ("X-First", "yes")])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", PLAIN, sys.exc_info())
        return [b"sorry"]

    response = connect(serve(app)).get()
    assert (response.status, response.body, response.header("x-first")) == (500, b"sorry", None)


def test_exc_info_is_raised_after_the_head_went_out(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", PLAIN)
        write(b"begun")
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("500 Oops", PLAIN, sys.exc_info())
        return [b"never"]

    client = connect(serve(app))
    client.send(request())
    with pytest.raises(Incomplete):
        client.read_response()
    record = error_log.expect(ValueError, "too late")
    assert record.getMessage() == "Exception in WSGI application"
    error_log.claim_all()


def test_what_comes_after_a_complete_response_is_not_sent(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        write = start_response("200 OK", [("Content-Length", "5")])
        yield b"hello"
        if environ["PATH_INFO"] == "/write":
            write(b"XXXXX")
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("500 Oops", PLAIN, sys.exc_info())

    client = connect(serve(app, wsgi_threads=1))
    for path in ("/", "/write", "/"):
        response = client.get(path)
        assert (response.status, response.body) == (200, b"hello")
        if path == "/write":
            error_log.expect(text="longer than Content-Length: GET /write declared 5 bytes")
        error_log.expect(ValueError, "too late")


def raising(error: BaseException) -> Callable[..., list[bytes]]:
    """An application that raises."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise error

    return app


def without_start(environ: Environ, start_response: StartResponse) -> list[bytes]:
    return [b"x"]


def started_twice(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", PLAIN)
    start_response("200 OK", PLAIN)
    return [b"x"]


@pytest.mark.parametrize(
    ("app", "error"),
    [
        (raising(ValueError("broken")), ValueError),
        (raising(SystemExit(3)), SystemExit),
        (raising(KeyboardInterrupt()), KeyboardInterrupt),
        (raising(GeneratorExit()), GeneratorExit),
        (without_start, AssertionError),
        (started_twice, AssertionError),
        (with_start("200 OK", PLAIN, ["text"]), TypeError),
        (with_start("200 OK", PLAIN, Pieces(["text"])), TypeError),
        (with_start("200 OK", PLAIN, None), TypeError),
        (with_start("OK", PLAIN), ValueError),
        (with_start(200, PLAIN), TypeError),
        (with_start("200 OK", [("X-Split", "a\r\nSet-Cookie: b")]), ValueError),
        (with_start("200 OK", [("X Space", "a")]), ValueError),
        (with_start("200 OK", [("X-Bytes", b"a")]), TypeError),
        (with_start("200 OK", [("X-Text", "\u20ac")]), ValueError),
        (with_start("200 OK", [("Content-Length", "ten")]), ValueError),
    ],
)  # fmt: skip
def test_error_of_the_application(
    serve: Serve, connect: Connect, error_log: ErrorLog, app: Any, error: type[BaseException]
) -> None:
    client = connect(serve(app))
    client.send(request())
    response = client.read_response()
    assert (response.status, response.body) == (500, b"Internal Server Error")
    assert error_log.expect(error).getMessage() == "Exception in WSGI application"


@pytest.fixture
def seen() -> Iterator[list[str]]:
    """What a filter of the server's log, as one that adds the request's number, found in its context."""
    found: list[str] = []

    def note(record: logging.LogRecord) -> bool:
        found.append(number.get())
        return True

    logger = logging.getLogger("threadserve.error")
    logger.addFilter(note)
    yield found
    logger.removeFilter(note)


@pytest.mark.parametrize("raises", ["before its response", "within it"])
def test_error_is_logged_in_the_context_of_its_call(
    serve: Serve, connect: Connect, error_log: ErrorLog, seen: list[str], raises: str
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"begun"
        raise ValueError("broken")

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        number.set("seven")
        if raises == "before its response":
            raise ValueError("broken")
        start_response("200 OK", PLAIN)
        return pieces()

    client = connect(serve(app))
    client.send(request())
    with suppress(Incomplete):
        client.read_response()
    error_log.expect(ValueError, "broken")
    assert seen[0] == "seven"
    error_log.claim_all()


class Octets(bytes):
    """Bytes by another name."""


@pytest.mark.parametrize("kind", [Octets, bytearray, memoryview, lambda data: memoryview(data).cast("H")])
@pytest.mark.parametrize("length", [[], [("Content-Length", "4")]], ids=["undeclared", "declared"])
def test_bodies_of_what_is_as_good_as_bytes(
    serve: Serve, connect: Connect, kind: Callable[[bytes], Any], length: list[tuple[str, str]]
) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [*PLAIN, *length])
        path = environ["PATH_INFO"]
        if path == "/write":
            write(kind(b"body"))
            return []
        return {
            "/list": [kind(b"body")],
            "/lists": [kind(b"bo"), kind(b"dy")],
            "/one": iter([kind(b"body")]),
            "/pieces": iter([kind(b"bo"), kind(b"dy")]),
        }[path]

    client = connect(serve(app))
    for path in ("/write", "/list", "/lists", "/one", "/pieces"):
        assert client.get(path).body == b"body"


def test_error_after_the_first_piece_breaks_the_response_off(
    serve: Serve, connect: Connect, error_log: ErrorLog
) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b"begun"
        raise ValueError("in the middle")

    server = serve(app)
    client = connect(server)
    client.send(request())
    with pytest.raises(Incomplete) as caught:
        client.read_response()
    assert caught.value.received in (b"begun", b"")
    error_log.expect(ValueError, "in the middle")
    error_log.claim_all()


def test_every_result_is_closed(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    closed: list[str] = []
    both = threading.Condition()

    def note(path: str) -> None:
        with both:
            closed.append(path)
            both.notify_all()

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path != "/unstarted":
            start_response("200 OK", [("Content-Length", "2")] if path == "/one" else PLAIN)
        pieces: Iterable[bytes] = [b"ok"]
        if path == "/raising":
            pieces = (piece for piece in [b"ok", 1 / 0])  # type: ignore[misc]
        return Closing(pieces, lambda: note(path))

    server = serve(app)
    for path in ("/one", "/stream", "/head"):
        connect(server).get(path) if path != "/head" else None
    head = connect(server)
    head.send(request("HEAD", "/head"))
    assert head.read_response("HEAD").body == b""
    assert connect(server).get("/unstarted").status == 500
    error_log.expect(AssertionError)
    with both:
        assert both.wait_for(lambda: len(closed) == 4, DEADLINE)
    assert set(closed) == {"/one", "/stream", "/head", "/unstarted"}


def test_error_in_close_is_logged_and_harms_nobody(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        return Closing([b"ok"], lambda: 1 / 0)

    client = connect(serve(app))
    for _ in range(2):
        assert client.get().body == b"ok"
        error_log.expect(ZeroDivisionError)


def test_result_is_closed_when_the_client_goes_in_the_middle(serve: Serve, connect: Connect) -> None:
    closed = threading.Event()

    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * PIECE

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return Closing(endless(), closed.set)

    client = connect(serve(app))
    client.send(request())
    client.reader.head()
    client.reset()
    assert closed.wait(DEADLINE)


def test_slow_reader_holds_the_application_up(serve: Serve, connect: Connect) -> None:
    produced = 0
    waits = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        nonlocal produced
        start_response("200 OK", PLAIN)
        for _ in range(4096):
            alarm = threading.Timer(0.5, waits.set)
            alarm.start()
            try:
                yield b"x" * PIECE
            finally:
                alarm.cancel()
                alarm.join()
            produced += PIECE

    client = connect(serve(app), receive_buffer=PIECE)
    client.send(request())
    assert waits.wait(DEADLINE)
    assert produced < 24_000_000
    client.reset()


def test_head_gets_the_fields_alone(serve: Serve, connect: Connect) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return [b"hello"] if environ["PATH_INFO"] == "/list" else iter(lambda: b"endless", None)

    client = connect(serve(app))
    for path in ("/list", "/endless"):
        client.send(request("HEAD", path))
        response = client.read_response("HEAD")
        assert (response.status, response.body) == (200, b"")
        assert response.header("content-length") == (b"5" if path == "/list" else None)
    assert client.get("/list").body == b"hello"


def test_status_without_a_body(serve: Serve, connect: Connect) -> None:
    client = connect(serve(with_start("204 No Content", [], [])))
    for _ in range(2):
        response = client.get()
        assert (response.status, response.header("content-length")) == (204, None)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("kind", ["file", "part", "short", "memory"])
def test_file_wrapper(serve: Serve, connect: Connect, tmp_path: Path, loop: str, kind: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    content = bytes(range(256)) * 8192
    path = tmp_path / "file"
    path.write_bytes(content)
    expected = {"file": content, "memory": content, "part": content[1000:], "short": content[1000:1500]}[kind]
    closed: list[bool] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        headers = [*PLAIN, ("Content-Length", str(len(expected)))] if kind == "short" else PLAIN
        start_response("200 OK", headers)
        file: Any = io.BytesIO(content) if kind == "memory" else path.open("rb")
        file.seek(1000 if kind in ("part", "short") else 0)
        result: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 4096)
        closed.append(True)
        return result

    client = connect(serve(app, loop=loop))
    for _ in range(2):
        assert client.get().body == expected
