"""WSGI applications over HTTP/2: the environ, bodies either way, and many calls of one connection at once."""

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import SettingsFrame
from support.embedded_server import EmbeddedServer, Serve
from support.error_log import ErrorLog
from support.http2_client import ConnectH2, H2Client
from support.waiting import DEADLINE
from support.wsgi_apps import (
    PLAIN,
    Closing,
    Environ,
    Held,
    Pieces,
    StartResponse,
    WSGIApp,
    echo,
    hello,
    tell_environ,
    with_start,
)

DATA = bytes(range(256)) * 4000
ServeWSGI = Callable[..., EmbeddedServer]


@pytest.fixture
def serve_wsgi(serve: Serve) -> ServeWSGI:
    """`serve_wsgi(app, **settings)` starts a server for a WSGI application, with four pool threads."""

    def start(app: Any, **settings: Any) -> EmbeddedServer:
        return serve(app, **{"interface": "wsgi", "wsgi_threads": 4, "wsgi_queue": 1024, **settings})

    return start


def or_hello(app: WSGIApp) -> WSGIApp:
    """The application, with hello at /fine."""

    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return (hello if environ["PATH_INFO"] == "/fine" else app)(environ, start_response)

    return call


def check_goes_on(client: H2Client) -> None:
    """Checks that a connection is still good for a request."""
    assert client.get("/fine").body == b"/fine"
    assert client.goaways == []


# The environ.


def test_environ(serve_wsgi: ServeWSGI, connect_h2: ConnectH2) -> None:
    server = serve_wsgi(tell_environ)
    client = connect_h2(server)
    fields = [("x-a", "1"), ("x-a", "2"), ("cookie", "a=b"), ("cookie", "c=d"), ("accept", "a/b"), ("te", "trailers")]
    environ = json.loads(client.get("/a%20b?c=d", fields).body)
    expected = {
        "SERVER_PROTOCOL": "HTTP/2.0",
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b",
        "QUERY_STRING": "c=d",
        "SERVER_NAME": server.host,
        "SERVER_PORT": str(server.port),
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(client.socket.getsockname()[1]),
        "HTTP_HOST": "example.org",
        "HTTP_X_A": "1,2",
        "HTTP_COOKIE": "a=b; c=d",
        "HTTP_ACCEPT": "a/b",
        "HTTP_TE": "trailers",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.input_terminated": True,
    }
    assert {key: environ.get(key) for key in expected} == expected
    assert not {"CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTP_CONNECTION"} & environ.keys()


@pytest.mark.parametrize("is_sized", [True, False], ids=["sized", "unsized"])
def test_environ_of_a_request_with_a_body(serve_wsgi: ServeWSGI, connect_h2: ConnectH2, is_sized: bool) -> None:
    """Applications that read no body without a length are told that of one that has arrived."""
    client = connect_h2(serve_wsgi(tell_environ))
    length = [("content-length", "5")] if is_sized else []
    environ = json.loads(client.post("/", b"hello", [*length, ("content-type", "text/plain")]).body)
    assert environ["CONTENT_LENGTH"] == "5"
    assert environ["CONTENT_TYPE"] == "text/plain"
    assert "HTTP_TRANSFER_ENCODING" not in environ


# Bodies of requests.


@pytest.mark.parametrize("is_sized", [True, False], ids=["sized", "unsized"])
@pytest.mark.parametrize("size", [0, 5, 65536, 200_000])
def test_body(serve_wsgi: ServeWSGI, connect_h2: ConnectH2, is_sized: bool, size: int) -> None:
    client = connect_h2(serve_wsgi(echo))
    for _ in range(2):
        response = client.post("/", DATA[:size], [("content-length", str(size))] if is_sized else [])
        assert (response.status, response.body) == (200, DATA[:size])


@pytest.mark.parametrize("is_sized", [True, False], ids=["sized", "unsized"])
def test_body_that_comes_in_parts(serve_wsgi: ServeWSGI, connect_h2: ConnectH2, is_sized: bool) -> None:
    client = connect_h2(serve_wsgi(echo))
    length = [("content-length", "200000")] if is_sized else []
    stream_id = client.open("/", length, method="POST", ends=False)
    for at in range(0, 200_000, 10_000):
        client.send_data(stream_id, DATA[at : at + 10_000])
        client.synchronize()
    client.send_data(stream_id, ends=True)
    assert client.read(stream_id).body == DATA[:200_000]


def test_body_in_lines(serve_wsgi: ServeWSGI, connect_h2: ConnectH2) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", PLAIN)
        return [b"%d " % len(line) for line in environ["wsgi.input"]]

    client = connect_h2(serve_wsgi(app))
    assert client.post("/", b"one\n\nthree\nend").body == b"4 1 6 3 "


def test_body_that_is_expected_is_asked_for(serve_wsgi: ServeWSGI, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve_wsgi(echo))
    fields = [("expect", "100-continue"), ("content-length", "5")]
    stream_id = client.open("/", fields, method="POST", ends=False)
    client.read_until(lambda: client.response(stream_id).informational)
    client.send_data(stream_id, b"hello", ends=True)
    response = client.read(stream_id)
    assert (response.informational, response.body) == ([(100, [])], b"hello")


def test_body_that_the_application_leaves(serve_wsgi: ServeWSGI, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve_wsgi(hello))
    for _ in range(20):
        assert client.post("/left", DATA[:100_000]).body == b"/left"
    check_goes_on(client)


@pytest.mark.parametrize("is_sized", [True, False], ids=["sized", "unsized"])
def test_client_that_resets_in_the_middle_of_its_body(
    serve_wsgi: ServeWSGI, connect_h2: ConnectH2, is_sized: bool
) -> None:
    wholes: list[bytes] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        wholes.append(environ["wsgi.input"].read())
        return hello(environ, start_response)

    client = connect_h2(serve_wsgi(or_hello(app)))
    length = [("content-length", "1000000")] if is_sized else []
    stream_id = client.open("/", length, method="POST", ends=False)
    client.send_data(stream_id, DATA[:200_000])
    client.synchronize()
    client.reset(stream_id)
    check_goes_on(client)
    assert wholes == []


# Responses.


@pytest.mark.parametrize("result", [[b"hello"], (b"hello",), [b"he", b"llo"], [b"", b"hello", b""]], ids=repr)
def test_length_of_a_finished_result_is_inferred(
    serve_wsgi: ServeWSGI, connect_h2: ConnectH2, result: Iterable[bytes]
) -> None:
    client = connect_h2(serve_wsgi(with_start("200 OK", PLAIN, result)))
    for _ in range(2):
        response = client.get()
        assert (response.body, response.header("content-length")) == (b"hello", b"5")
        head = client.get(method="HEAD")
        assert (head.body, head.header("content-length"), head.is_complete) == (b"", b"5", True)


def test_fields(serve_wsgi: ServeWSGI, connect_h2: ConnectH2) -> None:
    headers = [
        ("Content-Type", "text/plain"),
        ("X-One", " 1 "),
        ("X-Empty", ""),
        ("X-Latin", "\xe4: b"),
        ("Set-Cookie", "a=b"),
        ("Set-Cookie", "c=d"),
        ("Connection", "close"),
        ("Keep-Alive", "timeout=5"),
        ("Date", "today"),
        ("Server", "own"),
    ]
    client = connect_h2(serve_wsgi(with_start("200 Fine", headers, [b"hello"])))
    expected = [
        (b"content-length", b"5"),
        (b"content-type", b"text/plain"),
        (b"date", b"today"),
        (b"server", b"own"),
        (b"set-cookie", b"a=b"),
        (b"set-cookie", b"c=d"),
        (b"x-empty", b""),
        (b"x-latin", b"\xe4: b"),
        (b"x-one", b"1"),
    ]
    for _ in range(3):
        response = client.get()
        assert sorted(response.headers) == expected
        assert response.body == b"hello"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("result", [[], [b""], [b"dropped"], Pieces([b"dropped"])])
def test_statuses_without_content(
    serve_wsgi: ServeWSGI, connect_h2: ConnectH2, status: str, result: Iterable[bytes]
) -> None:
    client = connect_h2(serve_wsgi(or_hello(with_start(status, PLAIN, result))))
    response = client.get()
    assert (response.status, response.body, response.is_complete) == (int(status[:3]), b"", True)
    check_goes_on(client)


def test_piece_is_sent_before_the_next_is_asked_for(serve_wsgi: ServeWSGI, connect_h2: ConnectH2) -> None:
    go_on = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b"first"
        assert go_on.wait(DEADLINE)
        yield b"later"

    client = connect_h2(serve_wsgi(or_hello(app)))
    stream_id = client.open()
    client.read_until(lambda: client.response(stream_id).body == b"first")
    check_goes_on(client)
    go_on.set()
    response = client.read(stream_id)
    assert (response.body, response.header("content-length")) == (b"firstlater", None)


def test_write_comes_before_the_result(serve_wsgi: ServeWSGI, connect_h2: ConnectH2) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", PLAIN)
        write(b"one ")
        write(b"")
        write(b"two ")
        return [b"three"]

    client = connect_h2(serve_wsgi(app))
    for _ in range(2):
        assert client.get().body == b"one two three"


@pytest.mark.parametrize("settings", [{}, {SettingsFrame.INITIAL_WINDOW_SIZE: 10_000}], ids=["wide", "narrow"])
def test_large_stream(serve_wsgi: ServeWSGI, connect_h2: ConnectH2, settings: dict[int, int]) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        for at in range(0, len(DATA), 50_000):
            yield DATA[at : at + 50_000]

    client = connect_h2(serve_wsgi(app), settings)
    data = DATA
    streams = [client.open() for _ in range(3)]
    for stream_id in streams:
        assert client.read(stream_id).body == data


@pytest.mark.parametrize("size", [0, 5, len(DATA)])
@pytest.mark.parametrize("offset", [0, 3])
def test_file_wrapper(
    serve_wsgi: ServeWSGI, connect_h2: ConnectH2, loop: str, tmp_path: Path, size: int, offset: int
) -> None:
    path = tmp_path / "data"
    path.write_bytes(DATA[:size])

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        file = path.open("rb")
        file.seek(offset)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped

    client = connect_h2(serve_wsgi(or_hello(app), loop=loop))
    streams = [client.open() for _ in range(3)]
    for stream_id in streams:
        response = client.read(stream_id)
        assert response.body == DATA[offset:size]
        assert response.header("content-length") in (None, b"%d" % max(size - offset, 0))
    head = client.get(method="HEAD")
    assert (head.status, head.body, head.is_complete) == (200, b"", True)
    check_goes_on(client)


# Faults.


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        ("200 OK\r\n", PLAIN, ValueError),
        ("OK", PLAIN, ValueError),
        ("100 Continue", PLAIN, ValueError),
        (200, PLAIN, TypeError),
        ("200 OK", [("X-A", "1\r\nX-B: 2")], ValueError),
        ("200 OK", [("X A", "1")], ValueError),
        ("200 OK", [(":status", "201")], ValueError),
        ("200 OK", [("X-A", b"1")], TypeError),
        ("200 OK", [("Content-Length", "five")], ValueError),
    ],
)
def test_what_start_response_does_not_take(
    serve_wsgi: ServeWSGI,
    connect_h2: ConnectH2,
    error_log: ErrorLog,
    status: Any,
    headers: Any,
    error: type[Exception],
) -> None:
    client = connect_h2(serve_wsgi(or_hello(with_start(status, headers))))
    response = client.get()
    assert (response.status, response.body, response.is_complete) == (500, b"Internal Server Error", True)
    error_log.expect(error)
    check_goes_on(client)


def test_application_that_raises(serve_wsgi: ServeWSGI, connect_h2: ConnectH2, error_log: ErrorLog) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", PLAIN)
        raise ValueError("wanted")

    client = connect_h2(serve_wsgi(or_hello(app)))
    assert client.get().status == 500
    error_log.expect(ValueError, "wanted")
    check_goes_on(client)


def test_generator_that_raises(serve_wsgi: ServeWSGI, connect_h2: ConnectH2, error_log: ErrorLog) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b"begun"
        raise ValueError("wanted")

    client = connect_h2(serve_wsgi(or_hello(app)))
    response = client.get()
    assert (response.status, response.is_complete, response.reset) == (200, False, ErrorCodes.INTERNAL_ERROR)
    error_log.expect(ValueError, "wanted")
    check_goes_on(client)


def test_write_to_a_head_that_then_raises(serve_wsgi: ServeWSGI, connect_h2: ConnectH2, error_log: ErrorLog) -> None:
    """Its answer has ended already, and so has its stream."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", PLAIN)
        write(b"begun")
        raise ValueError("wanted")

    client = connect_h2(serve_wsgi(or_hello(app)))
    assert client.get(method="HEAD").status == 200
    error_log.expect(ValueError, "wanted")
    check_goes_on(client)


@pytest.mark.parametrize("result", [[b"hello!"], [b"hell"], Pieces([b"hello", b"!"]), Pieces([b"hel", b"l"])])
def test_body_that_is_not_as_long_as_declared(
    serve_wsgi: ServeWSGI, connect_h2: ConnectH2, error_log: ErrorLog, result: Iterable[bytes]
) -> None:
    app = with_start("200 OK", [*PLAIN, ("Content-Length", "5")], result)
    client = connect_h2(serve_wsgi(or_hello(app)))
    response = client.get()
    if response.status == 200 and response.is_complete:
        # What is too much may have been left off.
        assert response.body == b"hello"
    else:
        assert response.status == 500 or response.reset == ErrorCodes.INTERNAL_ERROR
    error_log.expect(None, "Content-Length")
    check_goes_on(client)


def test_exc_info_replaces_the_head_before_it_went_out(serve_wsgi: ServeWSGI, connect_h2: ConnectH2) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [*PLAIN, ("Content-Length", "1000"), ("X-First", "yes")])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", PLAIN, sys.exc_info())
        return [b"sorry"]

    response = connect_h2(serve_wsgi(app)).get()
    assert (response.status, response.body, response.header("x-first")) == (500, b"sorry", None)


def test_exc_info_is_raised_after_the_head_went_out(
    serve_wsgi: ServeWSGI, connect_h2: ConnectH2, error_log: ErrorLog
) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", PLAIN)
        write(b"begun")
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("500 Oops", PLAIN, sys.exc_info())
        return [b"never"]

    client = connect_h2(serve_wsgi(or_hello(app)))
    response = client.get()
    assert (response.status, response.reset) == (200, ErrorCodes.INTERNAL_ERROR)
    error_log.expect(ValueError, "too late")
    check_goes_on(client)


def test_client_that_resets_has_the_generator_closed(serve_wsgi: ServeWSGI, connect_h2: ConnectH2) -> None:
    closed = threading.Event()

    def pieces() -> Iterator[bytes]:
        while True:
            yield b"x" * 10_000

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return Closing(pieces(), closed.set)

    client = connect_h2(serve_wsgi(or_hello(app)), takes=False)
    stream_id = client.open()
    client.read_until(lambda: client.response(stream_id).body)
    client.reset(stream_id)
    assert closed.wait(DEADLINE)
    client.widen(65535)
    check_goes_on(client)


# Many at once.


def test_a_hundred_requests_at_once(serve_wsgi: ServeWSGI, connect_h2: ConnectH2) -> None:
    app = Held()
    client = connect_h2(serve_wsgi(app))
    held = [client.open("/held") for _ in range(4)]
    app.wait_for(4)
    # The pool's threads are all taken: these wait for one.
    streams = [client.open(f"/{number}") for number in range(96)]
    client.synchronize()
    assert not any(client.response(stream_id).status for stream_id in streams)
    app.release.set()
    assert [client.read(stream_id).body for stream_id in held] == [b"/held"] * 4
    assert [client.read(stream_id).body for stream_id in streams] == [f"/{number}".encode() for number in range(96)]


def test_a_hundred_bodies_at_once(serve_wsgi: ServeWSGI, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve_wsgi(echo))
    streams = [client.open("/", method="POST", ends=False) for _ in range(100)]
    for part in range(3):
        for number, stream_id in enumerate(streams):
            client.send_data(stream_id, b"%d %d," % (number, part), ends=part == 2)
    bodies = [client.read(stream_id).body for stream_id in streams]
    assert bodies == [b"".join(b"%d %d," % (number, part) for part in range(3)) for number in range(100)]


def test_full_queue_is_told_on_each_stream(serve_wsgi: ServeWSGI, connect_h2: ConnectH2) -> None:
    app = Held()
    client = connect_h2(serve_wsgi(app, wsgi_threads=1, wsgi_queue=2))
    first = client.open("/held")
    app.wait_for(1)
    others = [client.open("/other") for _ in range(6)]
    client.read_until(lambda: sum(client.response(stream_id).status == 503 for stream_id in others) >= 3)
    app.release.set()
    statuses = [client.read(stream_id).status for stream_id in others]
    assert sorted(statuses) == [200] * statuses.count(200) + [503] * statuses.count(503)
    assert 1 <= statuses.count(200) <= 3
    assert client.read(first).status == 200
    assert client.get("/again").status == 200
