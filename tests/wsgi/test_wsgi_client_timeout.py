"""Clients that keep a call waiting: its thread is not theirs for ever."""

import threading
from collections.abc import Iterator

import pytest
from support.bounds import give_bounds
from support.embedded_server import Serve
from support.raw_client import Connect, request
from support.waiting import DEADLINE
from support.wsgi_apps import PLAIN, Environ, StartResponse, hello

from threadserve.wsgi import sink


@pytest.fixture(autouse=True)
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls wait for a moment."""
    monkeypatch.setattr(sink, "CLIENT_TIMEOUT_SECONDS", 0.3)
    give_bounds(monkeypatch, write_stall_seconds=0.1, linger_seconds=0.1)


def test_client_that_never_reads_frees_its_thread(serve: Serve, connect: Connect) -> None:
    closed = threading.Event()

    def flood() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.set()

    def app(environ: Environ, start_response: StartResponse) -> object:
        if environ["PATH_INFO"] == "/quick":
            return hello(environ, start_response)
        start_response("200 OK", PLAIN)
        return flood()

    server = serve(app, wsgi_threads=1)
    client = connect(server, receive_buffer=4096)
    client.send(request("GET", "/flood"))
    assert closed.wait(DEADLINE)
    assert connect(server).get("/quick").status == 200


@pytest.mark.parametrize("sent", [b"", b"x" * (8 * 1024 * 1024)], ids=["awaits 100", "stops in the middle"])
def test_client_that_stops_sending_frees_its_thread(serve: Serve, connect: Connect, sent: bytes) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.input"].read()
        return hello(environ, start_response)

    server = serve(app, wsgi_threads=1)
    client = connect(server)
    expect = () if sent else ("Expect: 100-continue",)
    client.send(request("POST", "/", "Content-Length: 10000000", *expect, body=sent))
    assert connect(server).get("/").status == 200
    client.read_all()
