"""Clients that leave before an application has sent everything: what it is at is closed, on its pool thread."""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from support.embedded_server import Serve
from support.raw_client import Connect, post, post_chunked, request
from support.waiting import DEADLINE, wait_until
from support.wsgi_apps import PLAIN, Environ, StartResponse, hello


class Endless:
    """An application that sends `first`, and `later` again and again, for as long as it is let."""

    def __init__(self, first: bytes, later: bytes) -> None:
        self.closed_on: list[str] = []
        self.waits = threading.Event()
        self._first = first
        self._later = later

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/other":
            return hello(environ, start_response)
        environ["wsgi.input"].read()
        start_response("200 OK", PLAIN)
        return self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        pause = threading.Event()
        try:
            yield self._first
            while True:
                self.waits.set()
                yield self._later
                pause.wait(0.02)
        finally:
            self.closed_on.append(threading.current_thread().name)


REQUESTS: dict[str, Callable[[], bytes]] = {
    "without a body": request,
    "with a body": lambda: post("/", b"x" * 100),
    "with a chunked body": lambda: post_chunked("/", b"x" * 100),
}


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("later", [b"", b"x", b"x" * 100_000], ids=["waiting", "trickling", "flooding"])
def test_pieces_end_when_the_client_leaves(serve: Serve, connect: Connect, kind: str, later: bytes) -> None:
    app = Endless(b"first", later)
    server = serve(app, wsgi_threads=1)
    client = connect(server)
    client.send(REQUESTS[kind]())
    assert client.reader.head().status == 200
    assert app.waits.wait(DEADLINE)
    client.reset()
    wait_until(lambda: app.closed_on, "the pieces to be closed")
    assert app.closed_on[0].startswith("threadserve-wsgi-")
    assert connect(server).get("/other").body == b"/other"


def test_pieces_end_before_the_first_has_come(way: str, serve: Serve, connect: Connect) -> None:
    if way == "general":
        pytest.skip("who serves the middleware tells of a client that goes when something is sent")
    app = Endless(b"", b"")
    server = serve(app, wsgi_threads=1)
    client = connect(server)
    client.send(request())
    assert app.waits.wait(DEADLINE)
    client.reset()
    wait_until(lambda: app.closed_on, "the pieces to be closed")
    assert connect(server).get("/other").body == b"/other"


@pytest.mark.parametrize("way", ["short"])
def test_client_that_says_no_more_still_reads(serve: Serve, connect: Connect) -> None:
    """Over ASGI's messages the middleware asks whether the client has gone: one that says no more has, for who asks."""
    go_on = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", PLAIN)
        yield b"first "
        yield b""
        assert go_on.wait(DEADLINE)
        yield b""
        yield b"last"

    client = connect(serve(app))
    client.send(request("GET", "/", "Connection: close"))
    client.half_close()
    go_on.set()
    assert b"last" in client.read_all()


def test_body_that_has_come_is_read_though_its_client_has_gone(serve: Serve, connect: Connect) -> None:
    read: list[int] = []
    gone = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert gone.wait(DEADLINE)
        read.append(len(environ["wsgi.input"].read()))
        return hello(environ, start_response)

    client = connect(serve(app))
    client.send(post("/", b"x" * 3_000_000))
    client.half_close()
    gone.set()
    wait_until(lambda: read == [3_000_000], "the body to be read")
