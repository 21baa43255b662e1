"""Uploads with and without a length, asked for and not, read by CONTENT_LENGTH as most frameworks do."""

import threading
from tempfile import TemporaryFile
from typing import Any

import pytest
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, chunked, post_chunked, request
from support.waiting import DEADLINE, wait_until
from support.wsgi_apps import PLAIN, Environ, StartResponse, hello, upload

from threadserve.wsgi import body
from threadserve.wsgi.body import CALL_AFTER_BYTES, MAX_MEMORY_BYTES

SIZES = [1000, MAX_MEMORY_BYTES + 1, CALL_AFTER_BYTES + 1, 20_000_000]


def by_length(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Reads what CONTENT_LENGTH says there is."""
    size = len(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    start_response("200 OK", PLAIN)
    return [f"{size} {environ.get('CONTENT_LENGTH')} {environ.get('HTTP_TRANSFER_ENCODING')}".encode()]


@pytest.mark.parametrize("expects", [False, True], ids=["sent at once", "asked for"])
@pytest.mark.parametrize("size", SIZES)
def test_chunked_body_has_its_length(serve: Serve, connect: Connect, size: int, expects: bool) -> None:
    client = connect(serve(by_length))
    for _ in range(2):
        response = upload(client, "/", size, is_chunked=True, expects=expects)
        assert response.body == f"{size} {size} None".encode()


def test_empty_chunked_body_has_its_length(serve: Serve, connect: Connect) -> None:
    client = connect(serve(by_length))
    client.send(post_chunked("/"))
    assert client.read_response().body == b"0 0 None"


@pytest.mark.parametrize("expects", [False, True], ids=["sent at once", "asked for"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_flask_reads_all_of_it(serve: Serve, connect: Connect, is_chunked: bool, expects: bool) -> None:
    flask: Any = pytest.importorskip("flask")
    app = flask.Flask("flask_site_of_uploads")
    app.add_url_rule("/", view_func=lambda: str(len(flask.request.get_data())), methods=["POST"])
    client = connect(serve(app))
    for size in SIZES:
        response = upload(client, "/", size, is_chunked=is_chunked, expects=expects)
        assert response.body == b"%d" % size


class Files:
    """Temporary files, in place of `TemporaryFile`, whose first write waits."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.is_writing = threading.Event()
        self.go_on = threading.Event()
        self.error: OSError | None = None
        self._make = TemporaryFile

    def __call__(self) -> Any:
        file: Any = self._make()
        self.made.append(file)
        return Slow(file, self)


class Slow:
    """A file on a disk that takes its time."""

    def __init__(self, file: Any, files: Files) -> None:
        self._file = file
        self._files = files

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        """See `io.BufferedIOBase`."""
        self._files.is_writing.set()
        assert self._files.go_on.wait(2 * DEADLINE)
        if self._files.error is not None:
            raise self._files.error
        return int(self._file.write(data))


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    """What bodies are written to."""
    files = Files()
    monkeypatch.setattr(body, "TemporaryFile", files)
    return files


def test_slow_disk_holds_nobody_else_up(serve: Serve, connect: Connect, files: Files) -> None:
    server = serve(lambda *call: by_length(*call) if call[0]["REQUEST_METHOD"] == "POST" else hello(*call))
    client = connect(server)
    client.send(post_chunked("/", b"x" * 1_000_000, b"y" * 1_000_000))
    assert files.is_writing.wait(DEADLINE)
    assert connect(server).get("/other").body == b"/other"
    files.go_on.set()
    assert client.read_response().body == b"2000000 2000000 None"
    wait_until(lambda: files.made[0].closed, "the file to be closed")


def test_client_that_goes_while_its_body_is_written(serve: Serve, connect: Connect, files: Files) -> None:
    server = serve(hello)
    client = connect(server)
    client.send(request("POST", "/", "Transfer-Encoding: chunked", body=chunked(b"x" * 1_000_000)[:-5]))
    assert files.is_writing.wait(DEADLINE)
    client.reset()
    files.go_on.set()
    wait_until(lambda: files.made[0].closed, "the file to be closed")
    assert connect(server).get("/other").body == b"/other"


def test_server_that_stops_while_a_body_is_written(
    serve: Serve, connect: Connect, error_log: ErrorLog, files: Files
) -> None:
    server = serve(hello, timeout_graceful_shutdown=0.1)
    connect(server).send(post_chunked("/", b"x" * 1_000_000))
    assert files.is_writing.wait(DEADLINE)
    alarm = threading.Timer(2.5, files.go_on.set)
    alarm.start()
    server.stop()
    alarm.join()
    error_log.expect(text="Cut off 1 request ")
    wait_until(lambda: files.made[0].closed, "the file to be closed")


def test_disk_without_room(serve: Serve, connect: Connect, error_log: ErrorLog, files: Files) -> None:
    files.error = OSError(28, "No space left on device")
    files.go_on.set()
    client = connect(serve(hello))
    client.send(post_chunked("/", b"x" * 1_000_000))
    assert client.read_response().status == 500
    error_log.expect(OSError, "No space left on device")
