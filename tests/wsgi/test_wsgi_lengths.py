"""Bodies held against the Content-Length that the application declares."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, request
from support.responses import Incomplete
from support.wsgi_apps import PLAIN, Environ, Pieces, StartResponse, with_start


@pytest.mark.parametrize("pair", [tuple, list])
def test_the_length_that_a_response_declares_counts_each_time(
    serve: Serve, connect: Connect, error_log: ErrorLog, pair: Callable[[Iterable[str]], Any]
) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [pair(("Content-Length", "5"))])
        yield b"hello"
        yield b"x"

    client = connect(serve(app, wsgi_threads=1))
    for _ in range(2):
        response = client.get()
        assert (response.body, response.header("content-length")) == (b"hello", b"5")
        error_log.expect(text="longer than Content-Length: GET / declared 5 bytes")


def misfits(length: int) -> Callable[..., Any]:
    """An application with a Content-Length and, by the path, four bytes in each way to send them."""

    def app(environ: Environ, start_response: StartResponse) -> Any:
        kind = environ["PATH_INFO"]
        status = kind[1:] if kind in ("/204", "/304") else "200 OK"
        write = start_response(status, [*PLAIN, ("Content-Length", str(length))])
        if kind == "/write":
            write(b"ab")
            write(b"c")
            write(b"d")
            return []
        if kind == "/file":
            return environ["wsgi.file_wrapper"](io.BytesIO(b"abcd"), 2)
        if kind == "/read":
            environ["wsgi.input"].read()
        return [b"ab", b"cd"] if kind == "/list" else (piece for piece in (b"ab", b"c", b"d"))

    return app


@pytest.mark.parametrize("kind", ["/list", "/iterator", "/write"])
@pytest.mark.parametrize("length", [3, 1, 0])
def test_of_a_longer_body_what_fits_is_sent(
    serve: Serve, connect: Connect, error_log: ErrorLog, kind: str, length: int
) -> None:
    client = connect(serve(misfits(length)))
    for _ in range(2):
        response = client.get(kind)
        assert (response.status, response.body) == (200, b"abcd"[:length])
        error_log.expect(text=f"longer than Content-Length: GET {kind} declared {length} bytes")


@pytest.mark.parametrize("kind", ["/list", "/iterator", "/write", "/file"])
def test_shorter_body_is_seen_to_be_incomplete(serve: Serve, connect: Connect, error_log: ErrorLog, kind: str) -> None:
    client = connect(serve(misfits(9)))
    client.send(request("GET", kind))
    with pytest.raises(Incomplete) as caught:
        client.read_response()
    assert caught.value.received == b"abcd"
    error_log.expect(text=f"shorter than Content-Length: GET {kind} declared 9 bytes and gave 4.")
    error_log.claim_all()


@pytest.mark.parametrize("result", [[], Pieces([])], ids=["list", "iterator"])
def test_body_that_is_not_there_at_all(serve: Serve, connect: Connect, error_log: ErrorLog, result: Any) -> None:
    client = connect(serve(with_start("200 OK", [("Content-Length", "9")], result)))
    client.send(request())
    assert client.reader.head().status == 200
    assert client.read_all() == b""
    error_log.expect(text="shorter than Content-Length: GET / declared 9 bytes and gave 0.")
    error_log.claim_all()


@pytest.mark.parametrize("length", [3, 9])
def test_length_of_a_response_without_a_body_says_nothing_of_one(serve: Serve, connect: Connect, length: int) -> None:
    client = connect(serve(misfits(length)))
    for method, kind in [("HEAD", "/list"), ("HEAD", "/iterator"), ("GET", "/304"), ("GET", "/204")]:
        client.send(request(method, kind))
        response = client.read_response(method)
        assert (response.body, response.says_close) == (b"", False)
        assert response.header("content-length") == (None if kind == "/204" else b"%d" % length)
