"""`wsgi.input`: a stream of any length, whatever the client does meanwhile."""

import hashlib
import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, chunked, post, post_chunked, request
from support.waiting import DEADLINE, wait_until
from support.wsgi_apps import PLAIN, Environ, StartResponse, echo, hello

from threadserve.wsgi.body import CALL_AFTER_BYTES, MAX_MEMORY_BYTES

SIZES = [0, 1, MAX_MEMORY_BYTES, MAX_MEMORY_BYTES + 1, 3 * MAX_MEMORY_BYTES, CALL_AFTER_BYTES + 2_000_001]


def digest(data: bytes) -> bytes:
    """What stands for a body that is too large to compare."""
    return hashlib.sha256(data).hexdigest().encode()


def content(size: int) -> bytes:
    """A body of lines of all lengths."""
    line = b"".join(b"%d " % number * (number % 7) + b"\n" for number in range(1000))
    return (line * (size // len(line) + 1))[:size]


def read_whole(stream: Any) -> list[bytes]:
    return [stream.read()]


def read_pieces(stream: Any) -> list[bytes]:
    return list(iter(lambda: stream.read(10_007), b""))


def read_lines(stream: Any) -> list[bytes]:
    return list(iter(stream.readline, b""))


def read_all_lines(stream: Any) -> list[bytes]:
    return list(stream.readlines())


def iterate(stream: Any) -> list[bytes]:
    return list(stream)


@pytest.mark.parametrize("read", [read_whole, read_pieces, read_lines, read_all_lines, iterate])
@pytest.mark.parametrize("coding", [post, post_chunked])
def test_every_way_to_read(serve: Serve, connect: Connect, read: Any, coding: Any) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        pieces = read(environ["wsgi.input"])
        assert environ["wsgi.input"].read() == b""
        assert environ["wsgi.input"].read(10) == b""
        assert environ["wsgi.input"].readline() == b""
        start_response("200 OK", PLAIN)
        return [digest(b"".join(pieces))]

    client = connect(serve(app))
    for size in SIZES:
        data = content(size)
        for _ in range(2):
            client.send(coding("/", data) if data else request("POST"))
            assert (size, client.read_response().body) == (size, digest(data))


def test_lines_are_lines(serve: Serve, connect: Connect) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        stream = environ["wsgi.input"]
        lines = [stream.readline(), stream.readline(2), stream.readline(), *stream.readlines(1), *stream]
        start_response("200 OK", PLAIN)
        return [repr(lines).encode()]

    client = connect(serve(app))
    client.send(post("/", b"one\ntwo\nthree\nfour"))
    assert client.read_response().body == repr([b"one\n", b"tw", b"o\n", b"three\n", b"four"]).encode()


def test_body_that_nobody_reads(serve: Serve, connect: Connect) -> None:
    client = connect(serve(hello))
    for size in (10, CALL_AFTER_BYTES // 4):
        client.send(post("/unread", content(size)))
        assert client.read_response().body == b"/unread"
    assert client.get("/next").body == b"/next"


def test_continue_is_sent_when_the_body_is_read(serve: Serve, connect: Connect) -> None:
    read = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert read.wait(DEADLINE)
        return echo(environ, start_response)

    client = connect(serve(app))
    client.send(request("POST", "/", "Content-Length: 5", "Expect: 100-continue"))
    assert client.is_silent(0.2)
    read.set()
    assert client.reader.head().status == 100
    client.send(b"hello")
    assert client.read_response().body == b"hello"


def test_no_continue_where_the_body_is_not_read(serve: Serve, connect: Connect) -> None:
    client = connect(serve(hello))
    client.send(request("POST", "/refused", "Content-Length: 5", "Expect: 100-continue"))
    response = client.read_response()
    assert (response.status, response.body, response.interim) == (200, b"/refused", [])


def test_slow_uploads_hold_no_thread(serve: Serve, connect: Connect) -> None:
    server = serve(echo, wsgi_threads=1)
    slow = [connect(server) for _ in range(8)]
    for client in slow:
        client.send(request("POST", "/", "Content-Length: 1000000") + b"x" * 999_999)
    quick = connect(server)
    quick.send(post("/", b"quick"))
    assert quick.read_response().body == b"quick"
    for client in slow:
        client.send(b"y")
    for client in slow:
        assert client.read_response().body == b"x" * 999_999 + b"y"


def test_large_upload_waits_with_the_client_until_it_is_read(serve: Serve, connect: Connect) -> None:
    go_on = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert go_on.wait(DEADLINE)
        size = sum(map(len, iter(lambda: environ["wsgi.input"].read(65536), b"")))
        start_response("200 OK", PLAIN)
        return [b"%d" % size]

    client = connect(serve(app))
    total = 64_000_000
    client.send(request("POST", "/", f"Content-Length: {total}"))
    sent = client.send_while_taken(b"x" * 65536, CALL_AFTER_BYTES, patience=DEADLINE)
    assert sent == CALL_AFTER_BYTES
    sent += client.send_while_taken(b"x" * 65536, total - sent, patience=0.5)
    assert sent < CALL_AFTER_BYTES + 24_000_000
    go_on.set()
    assert sent + client.send_while_taken(b"x" * 65536, total - sent, patience=DEADLINE) == total
    assert client.read_response().body == b"%d" % total


def test_client_that_goes_before_its_body_is_there(serve: Serve, connect: Connect) -> None:
    calls: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        calls.append(environ["PATH_INFO"])
        return hello(environ, start_response)

    server = serve(app)
    client = connect(server)
    client.send(request("POST", "/half", "Content-Length: 100000") + b"x" * 70_000)
    client.reset()
    assert connect(server).get("/whole").body == b"/whole"
    assert calls == ["/whole"]


def test_client_that_goes_while_its_body_is_read(serve: Serve, connect: Connect) -> None:
    errors: list[BaseException] = []
    begun = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            while environ["wsgi.input"].read(65536):
                begun.set()
        except OSError as error:
            errors.append(error)
            raise
        return hello(environ, start_response)

    server = serve(app)
    client = connect(server)
    client.send(request("POST", "/", "Content-Length: 100000000") + b"x" * (CALL_AFTER_BYTES + 1))
    assert begun.wait(DEADLINE)
    client.reset()
    wait_until(lambda: errors, "the application to be told")
    assert connect(server).get("/next").body == b"/next"


def test_answer_while_the_body_still_comes(serve: Serve, connect: Connect) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", PLAIN)
        return iter(lambda: environ["wsgi.input"].read(1_000_000), b"")

    data = content(CALL_AFTER_BYTES + 3_000_000)
    client = connect(serve(app))
    client.send(request("POST", "/", "Transfer-Encoding: chunked"))
    sender = threading.Thread(target=client.send, args=(chunked(data[:5_000_000], data[5_000_000:]),))
    sender.start()
    assert digest(client.read_response().body) == digest(data)
    sender.join(DEADLINE)


@pytest.mark.parametrize("kind", ["/list", "/iterator", "/write", "/file"])
def test_answer_does_not_wait_for_the_end_of_the_body(serve: Serve, connect: Connect, kind: str) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        write = start_response("200 OK", [*PLAIN, ("Content-Length", "5")] if kind == "/file" else PLAIN)
        if kind == "/write":
            write(b"begun")
        if kind == "/iterator":
            return begun_and_read(environ["wsgi.input"])
        if kind == "/file":
            return environ["wsgi.file_wrapper"](io.BytesIO(b"begun"))
        return [] if kind == "/write" else [b"begun"]

    def begun_and_read(body: Any) -> Iterator[bytes]:
        yield b"begun"
        body.read()

    client = connect(serve(app))
    client.send(
        request("POST", kind, f"Content-Length: {CALL_AFTER_BYTES + 1_000_000}") + b"x" * (CALL_AFTER_BYTES + 1)
    )
    received = b""
    while b"begun" not in received:
        received += client.socket.recv(1000)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    client.send(b"y" * 999_999)
    assert connect(serve(app)).get("/list").body == b"begun"


def test_error_after_the_body_was_read_in_part(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.input"].read(CALL_AFTER_BYTES + 100_000)
        raise ValueError("after reading")

    client = connect(serve(app))
    client.send(post("/", content(CALL_AFTER_BYTES + 200_000)))
    assert client.read_response().status == 500
    error_log.expect(ValueError, "after reading")
