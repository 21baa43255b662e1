"""The extensions of the ASGI spec: path send, trailers and early hints."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.apps import body, hello, respond, start
from support.bounds import give_bounds
from support.embedded_server import EmbeddedServer, Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, request
from support.responses import Incomplete
from support.waiting import DEADLINE, wait_until

from threadserve.types import Receive, Scope, Send

DATA = bytes(range(256)) * 12_000


class PathSend:
    """Answers /file with the file, /fine with hello, with or without a content-length."""

    def __init__(self, path: Path, *, declared: bool) -> None:
        self.path = path
        self.declared = declared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["extensions"]["http.response.pathsend"] == {}
        if scope["path"] == "/fine":
            await hello(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % len(DATA))] if self.declared else []
        await start(send, 200, headers)
        await send({"type": "http.response.pathsend", "path": str(self.path)})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data with spaces é.bin"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize("declared", [True, False])
def test_pathsend_sends_the_file(serve: Serve, connect: Connect, loop: str, file: Path, declared: bool) -> None:
    client = connect(serve(PathSend(file, declared=declared), loop=loop, pathsend=True))
    for _ in range(2):
        response = client.get("/file")
        assert (response.status, response.body) == (200, DATA)
        assert client.get("/fine").body == b"/fine"


def test_pathsend_to_a_pipeline(serve: Serve, connect: Connect, loop: str, file: Path) -> None:
    client = connect(serve(PathSend(file, declared=True), loop=loop, pathsend=True))
    client.send(request("GET", "/file") + request("GET", "/fine") + request("GET", "/file") + request("GET", "/fine"))
    assert [client.read_response().body for _ in range(4)] == [DATA, b"/fine", DATA, b"/fine"]


def test_pathsend_soon_after_parts_sends_its_head_first(
    serve: Serve, connect: Connect, loop: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_file = PathSend(file, declared=True)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/file":
            await send_file(scope, receive, send)
            return
        await start(send)
        await body(send, b"part", more=True)
        await body(send)

    give_bounds(monkeypatch, batch_seconds=DEADLINE)
    client = connect(serve(app, loop=loop, pathsend=True))
    assert client.get("/parts").body == b"part"
    assert client.get("/file").body == DATA


def test_pathsend_to_head_sends_no_body(serve: Serve, connect: Connect, loop: str, file: Path) -> None:
    client = connect(serve(PathSend(file, declared=True), loop=loop, pathsend=True))
    client.send(request("HEAD", "/file") + request("GET", "/fine"))
    assert client.read_response("HEAD").header("content-length") == b"%d" % len(DATA)
    assert client.read_response().body == b"/fine"


def test_pathsend_to_http10(serve: Serve, connect: Connect, loop: str, file: Path) -> None:
    client = connect(serve(PathSend(file, declared=False), loop=loop, pathsend=True))
    client.send(request("GET", "/file", version="1.0"))
    assert client.read_response().body == DATA
    assert client.is_closed()


def test_pathsend_of_an_empty_file(serve: Serve, connect: Connect, loop: str, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    client = connect(serve(PathSend(tmp_path / "empty", declared=False), loop=loop, pathsend=True))
    for _ in range(2):
        assert client.get("/file").body == b""


def test_pathsend_leaves_no_file_open(serve: Serve, connect: Connect, loop: str, file: Path) -> None:
    client = connect(serve(PathSend(file, declared=True), loop=loop, pathsend=True))
    for _ in range(3):
        assert client.get("/file").body == DATA
    assert client.get("/fine").body == b"/fine"
    assert file not in [Path(opened.path) for opened in psutil.Process().open_files()]


def test_pathsend_to_a_slow_reader_that_goes(serve: Serve, connect: Connect, loop: str, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as stream:
        stream.truncate(200_000_000)
    server = serve(PathSend(large, declared=False), loop=loop, pathsend=True)
    other = connect(server)
    assert other.get("/fine").body == b"/fine"
    process = psutil.Process()
    descriptors = process.num_fds()
    client = connect(server, receive_buffer=65536)
    client.send(request("GET", "/file"))
    assert client.reader.head().status == 200
    assert other.get("/fine").body == b"/fine"
    client.reset()
    wait_until(lambda: process.num_fds() <= descriptors, "the file and the connection to be closed")
    assert other.get("/fine").body == b"/fine"


@pytest.mark.parametrize("kind", ["missing", "directory", "relative and missing"])
def test_pathsend_of_what_is_no_file_is_a_500(
    serve: Serve, connect: Connect, error_log: ErrorLog, loop: str, tmp_path: Path, kind: str
) -> None:
    path = {"missing": tmp_path / "missing", "directory": tmp_path, "relative and missing": Path("missing")}[kind]
    client = connect(serve(PathSend(path, declared=True), loop=loop, pathsend=True))
    response = client.get("/file")
    assert response.status == 500
    assert error_log.expect().exc_info
    if not response.says_close:
        assert client.get("/fine").body == b"/fine"


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
def test_pathsend_of_a_file_of_another_size_than_declared(
    serve: Serve, connect: Connect, error_log: ErrorLog, loop: str, file: Path, size: int
) -> None:
    file.write_bytes((DATA + b"x")[:size])
    client = connect(serve(PathSend(file, declared=True), loop=loop, pathsend=True))
    client.send(request("GET", "/file") + request("GET", "/fine", "Connection: close"))
    with suppress(Incomplete):
        response = client.read_response()
        assert response.status == 500 or (response.body == DATA and client.is_closed())
    error_log.expect()


class Trailing:
    """Streams a body and trailers in one or two messages."""

    def __init__(self, *trailers: list[tuple[bytes, bytes]], headers: list[tuple[bytes, bytes]] | None = None) -> None:
        self.trailers = trailers
        self.headers = [(b"trailer", b"x-sum")] if headers is None else headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["extensions"]["http.response.trailers"] == {}
        await start(send, 200, self.headers, trailers=True)
        await body(send, b"one", more=True)
        await body(send, b"two")
        for trailers in self.trailers:
            more = trailers is not self.trailers[-1]
            await send({"type": "http.response.trailers", "headers": trailers, "more_trailers": more})


@pytest.mark.parametrize("te", ["trailers", "Trailers", "gzip, trailers", "trailers;q=1"])
def test_trailers_are_sent_to_a_client_that_takes_them(serve: Serve, connect: Connect, te: str) -> None:
    client = connect(serve(Trailing([(b"x-sum", b"1")], [(b"x-other", b"2")])))
    for _ in range(2):
        response = client.get("/", f"TE: {te}", "Connection: TE")
        assert response.body == b"onetwo"
        assert response.trailers == [(b"x-sum", b"1"), (b"x-other", b"2")]


@pytest.mark.parametrize("fields", [[], ["TE: gzip"], ["TE: trailersx"]])
def test_trailers_are_dropped_for_others(serve: Serve, connect: Connect, fields: list[str]) -> None:
    client = connect(serve(Trailing([(b"x-sum", b"1")])))
    for _ in range(2):
        response = client.get("/", *fields)
        assert (response.body, response.trailers) == (b"onetwo", [])


def test_trailers_are_dropped_where_there_is_no_chunked_body(serve: Serve, connect: Connect) -> None:
    server = serve(Trailing([(b"x-sum", b"1")], headers=[(b"content-length", b"6")]))
    client = connect(server)
    for _ in range(2):
        response = client.get("/", "TE: trailers", "Connection: TE")
        assert (response.body, response.trailers) == (b"onetwo", [])
    client.send(request("HEAD", "/", "TE: trailers", "Connection: TE") + request("GET", "/"))
    assert client.read_response("HEAD").status == 200
    assert client.read_response().body == b"onetwo"
    client = connect(serve(Trailing([(b"x-sum", b"1")])))
    client.send(request("GET", "/", "TE: trailers", version="1.0"))
    assert client.read_response().body == b"onetwo"
    assert client.is_closed()


def test_response_ends_only_with_its_trailers(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    client = connect(serve(Trailing()))
    client.send(request("GET", "/", "TE: trailers", "Connection: TE"))
    with pytest.raises(Incomplete):
        client.read_response()
    error_log.expect()


LINKS = [b"</style.css>; rel=preload; as=style", b"</app.js>; rel=preload"]


def hinting(when: str) -> Any:
    async def hint(send: Send) -> None:
        await send({"type": "http.response.early_hint", "links": LINKS})
        await send({"type": "http.response.early_hint", "links": LINKS[:1]})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["extensions"]["http.response.early_hint"] == {}
        if when == "before the start":
            await hint(send)
        await start(send)
        if when == "after the start":
            await hint(send)
        await body(send, b"one", more=True)
        if when == "after the first body":
            await hint(send)
        await body(send, b"two")

    return app


@pytest.mark.parametrize("when", ["before the start", "after the start"])
def test_early_hints_come_before_the_response(serve: Serve, connect: Connect, when: str) -> None:
    """The spec has them sent after the start message; Hypercorn's applications send them before it."""
    client = connect(serve(hinting(when)))
    for _ in range(2):
        response = client.get()
        assert (response.status, response.body) == (200, b"onetwo")
        assert [interim.status for interim in response.interim] == [103, 103]
        assert response.interim[0].headers == [(b"link", link) for link in LINKS]
        assert response.interim[1].headers == [(b"link", LINKS[0])]


def test_early_hints_are_too_late_when_the_response_has_begun(serve: Serve, connect: Connect) -> None:
    client = connect(serve(hinting("after the first body")))
    for _ in range(2):
        response = client.get()
        assert (response.body, response.interim) == (b"onetwo", [])


def test_http10_gets_no_early_hints(serve: Serve, connect: Connect) -> None:
    client = connect(serve(hinting("after the start")))
    client.send(request("GET", "/", version="1.0"))
    response = client.read_response()
    assert (response.body, response.interim) == (b"onetwo", [])


def test_extensions_are_all_advertised_on_every_request(serve: Serve, connect: Connect) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, ",".join(sorted(scope["extensions"])).encode())

    server: EmbeddedServer = serve(app)
    expected = b"http.response.early_hint,http.response.trailers,threadserve.cancel_on_disconnect"
    client = connect(server)
    assert [client.get().body, client.get().body] == [expected, expected]


def test_pathsend_that_is_not_offered_is_a_clear_error(
    serve: Serve, connect: Connect, error_log: ErrorLog, file: Path
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await send({"type": "http.response.pathsend", "path": str(file)})

    assert connect(serve(app)).get().status == 500
    error_log.expect(RuntimeError, "'http.response.pathsend' was sent, which is only for servers that offer it")


def test_pathsend_of_a_relative_path(
    serve: Serve, connect: Connect, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    assert connect(serve(PathSend(Path(file.name), declared=True), pathsend=True)).get("/file").body == DATA
