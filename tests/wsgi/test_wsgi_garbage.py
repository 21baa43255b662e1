"""Requests leave nothing to the garbage collector, for which every thread stands still on free-threaded Python."""

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.embedded_server import Serve
from support.raw_client import Connect, post, post_chunked, request
from support.waiting import wait_until
from support.wsgi_apps import PLAIN, Environ, StartResponse

MANY = 300
# Beside requests, the test's own client and the machinery of threads leave something now and then.
FEW = MANY // 3
# What requests leave is there every time; the processes that share a suite have threads that leave something at times.
TRIES = 3


class App:
    """An application that answers in each way, and counts the answers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answered = 0
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Any:
        with self._lock:
            self.answered += 1
        environ["wsgi.input"].read()
        start_response("200 OK", PLAIN)
        if environ["PATH_INFO"] == "/file":
            return environ["wsgi.file_wrapper"](self.path.open("rb"))
        return self.pieces() if environ["PATH_INFO"] == "/pieces" else [b"x"]

    def pieces(self) -> Iterator[bytes]:
        """A response in pieces."""
        yield b"x"
        yield b"y"


@pytest.mark.parametrize(
    "data",
    [
        request(),
        request("GET", "/pieces"),
        request("GET", "/file"),
        post("/", b"body"),
        post_chunked("/", b"one", b"two"),
    ],
    ids=["list", "pieces", "file", "body", "chunked"],
)
@pytest.mark.parametrize("way", ["short"])
def test_requests_leave_no_garbage(serve: Serve, connect: Connect, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"z" * 100)
    app = App(path)
    client = connect(serve(app, wsgi_threads=1))

    def ask(times: int) -> None:
        for _ in range(times):
            client.send(data)
            assert client.read_response().status == 200

    ask(10)
    wait_until(lambda: app.answered == 10, "the answers")
    left: list[int] = []
    gc.disable()
    try:
        while len(left) < TRIES and min(left, default=FEW) >= FEW:
            gc.collect()
            ask(MANY)
            left.append(gc.collect())
    finally:
        gc.enable()
    assert min(left) < FEW
