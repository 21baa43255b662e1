"""The access log of a real server in formats of the user's: what it says of each kind of request and response."""

import base64
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.raw_client import Connect, RawClient, clients, post, request
from support.server_process import ServerProcess
from support.waiting import wait_until

APP = """
import asyncio
from pathlib import Path

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    path = scope["path"]
    headers = [(b"X-Request-Id", b"7"), (b"x-forge", b'a"b\\\\')]
    if path == "/error":
        raise ValueError("wanted")
    if path == "/waits":
        Path("waits").touch()
        await receive()
        await receive()
        return
    if path == "/early":
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        return
    if path == "/moved":
        scope["path"] = scope["raw_path"] = "/elsewhere"
        scope["raw_path"] = b"/elsewhere"
    status = 204 if path == "/empty" else 200
    await send({"type": "http.response.start", "status": status, "headers": iter(headers)})
    if path == "/parts":
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"12345", "more_body": True})
    if path == "/slow":
        await asyncio.sleep(0.2)
    if path in ("/broken", "/left"):
        await send({"type": "http.response.body", "body": b"123", "more_body": True})
        if path == "/left":
            await receive()
            assert (await receive())["type"] == "http.disconnect"
        raise ValueError("wanted")
    if path == "/file":
        await send({"type": "http.response.pathsend", "path": str(Path(__file__).resolve())})
    elif path == "/large":
        await send({"type": "http.response.body", "body": b"x" * 100_000})
    else:
        await send({"type": "http.response.body", "body": b"" if status == 204 else b"hello"})


async def stubborn(scope, receive, send):
    if scope["type"] == "http":
        Path("waits").touch()
        await asyncio.sleep(100)


def site(environ, start_response):
    environ["REMOTE_USER"] = "zo\xc3\xab"
    environ["site.number"] = 7
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Request-Id", "7")])
    if environ["PATH_INFO"] == "/file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    if environ["PATH_INFO"] == "/streamed":
        return iter([b"hello", b"world"])
    return [b"hello", b"world"] if environ["PATH_INFO"] == "/parts" else [b"hello"]
"""
ATOMS = '%(h)s %(u)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %({x-request-id}o)s'


class Logged:
    """A server process whose access log is in a format."""

    def __init__(self, process: ServerProcess, connect: Connect, folder: Path) -> None:
        self.folder = folder
        self.process = process
        self.client: RawClient = connect(process)
        self.seen = 0

    def lines(self, count: int) -> list[str]:
        """The next lines of the access log."""
        wait_until(lambda: self.process.stdout.count("\n") >= self.seen + count, f"{count} lines")
        lines = self.process.stdout.splitlines()[self.seen :]
        assert len(lines) == count
        self.seen += count
        return lines

    def line(self) -> str:
        """The next line."""
        return self.lines(1)[0]

    def entry(self) -> Any:
        """The next line, from JSON."""
        return json.loads(self.line())


def logged(folder: Path, format: str, *options: str, app: str = "app") -> Iterator[Logged]:
    (folder / "site_to_log.py").write_text(APP)
    arguments = (
        f"site_to_log:{app}",
        "--access-log-format",
        format,
        "--pathsend",
        "--timeout-keep-alive",
        "60",
        *options,
    )
    with ServerProcess(*arguments, cwd=folder) as process, clients() as connect:
        yield Logged(process, connect, folder)


@pytest.fixture(scope="module", params=["auto", "h11", "httptools"])
def atoms(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    yield from logged(tmp_path_factory.mktemp("atoms"), ATOMS, "--http", request.param)


@pytest.fixture(scope="module")
def as_json(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    yield from logged(tmp_path_factory.mktemp("json"), "json", "--threads", "2")


def test_a_line_has_the_facts_of_its_request(atoms: Logged) -> None:
    credentials = base64.b64encode(b"me:secret").decode()
    atoms.client.get("/a%20b?q=1", f"Authorization: Basic {credentials}", "Referer: http://r/", "User-Agent: curl/8")
    assert atoms.line() == '127.0.0.1 me "GET /a%20b?q=1 HTTP/1.1" 200 5 "http://r/" "curl/8" 7'


def test_what_is_not_there_is_a_hyphen(atoms: Logged) -> None:
    atoms.client.get("/")
    assert atoms.line() == '127.0.0.1 - "GET / HTTP/1.1" 200 5 "-" "-" 7'


def test_clients_cannot_forge_a_line(atoms: Logged) -> None:
    atoms.client.get("/", 'User-Agent: x" 500 "\\" \xe9\t')
    atoms.client.get('/"')
    assert atoms.lines(2) == [
        '127.0.0.1 - "GET / HTTP/1.1" 200 5 "-" "x\\" 500 \\"\\\\\\" \\xe9" 7',
        '127.0.0.1 - "GET /\\" HTTP/1.1" 200 5 "-" "-" 7',
    ]


@pytest.mark.parametrize(
    ("method", "path", "status", "sent"),
    [
        ("GET", "/parts", 200, "20"),
        ("GET", "/large", 200, "100000"),
        ("GET", "/file", 200, str(len(APP.encode()))),
        ("GET", "/empty", 204, "-"),
        ("HEAD", "/", 200, "-"),
        ("HEAD", "/parts", 200, "-"),
        ("HEAD", "/file", 200, "-"),
    ],
)
def test_the_bytes_of_the_body_are_counted(atoms: Logged, method: str, path: str, status: int, sent: str) -> None:
    atoms.client.send(request(method, path))
    atoms.client.read_response(method)
    assert atoms.line() == f'127.0.0.1 - "{method} {path} HTTP/1.1" {status} {sent} "-" "-" 7'


@pytest.mark.parametrize("path", ["/error", "/early"])
def test_an_error_of_the_application_is_logged_as_it_was_answered(atoms: Logged, path: str) -> None:
    with clients() as connect:
        assert connect(atoms.process).get(path).body == b"Internal Server Error"
    assert atoms.line() == f'127.0.0.1 - "GET {path} HTTP/1.1" 500 21 "-" "-" -'


def test_a_response_that_is_broken_off_is_logged(atoms: Logged) -> None:
    with clients() as connect:
        client = connect(atoms.process)
        client.send(request("GET", "/broken"))
        assert client.read_all().endswith(b"\r\n3\r\n123\r\n")
    assert atoms.line() == '127.0.0.1 - "GET /broken HTTP/1.1" 200 3 "-" "-" 7'


def test_a_response_whose_client_leaves_is_logged(atoms: Logged) -> None:
    with clients() as connect:
        client = connect(atoms.process)
        client.send(request("GET", "/left"))
        wait_until(lambda: b"123" in client.socket.recv(65536, socket.MSG_PEEK), "the response to begin")
    assert atoms.line() == '127.0.0.1 - "GET /left HTTP/1.1" 200 3 "-" "-" 7'


def test_a_request_whose_client_leaves_without_an_answer_is_logged_as_499(atoms: Logged) -> None:
    with clients() as connect:
        client = connect(atoms.process)
        client.send(request("GET", "/waits"))
        wait_until((atoms.folder / "waits").exists, "the application to have the request")
    assert atoms.line() == '127.0.0.1 - "GET /waits HTTP/1.1" 499 - "-" "-" -'


def test_a_request_that_is_cut_off_without_an_answer_is_logged_as_499(tmp_path: Path) -> None:
    for server in logged(tmp_path, "json", "--timeout-graceful-shutdown", "0", app="stubborn"):
        server.client.send(request("GET", "/"))
        wait_until((tmp_path / "waits").exists, "the application to have the request")
        assert server.process.stop() == 0
        entry = server.entry()
        assert (entry["path"], entry["status"], entry["bytes"]) == ("/", 499, 0)


def test_the_version_and_method_are_the_requests(atoms: Logged) -> None:
    with clients() as connect:
        client = connect(atoms.process)
        client.send(request("DELETE", "/", version="1.0"))
        client.read_response()
    assert atoms.line() == '127.0.0.1 - "DELETE / HTTP/1.0" 200 5 "-" "-" 7'


def test_every_request_of_a_pipeline_has_its_line_in_order(atoms: Logged) -> None:
    paths = ["/parts", "/", "/file", "/empty"]
    atoms.client.send(b"".join(request("GET", path) for path in paths) + post("/", b"body"))
    for _ in range(5):
        atoms.client.read_response()
    shown = [re.findall(r'"(\S+ \S+) HTTP/1.1" (\d+)', line)[0] for line in atoms.lines(5)]
    assert shown == [
        ("GET /parts", "200"),
        ("GET /", "200"),
        ("GET /file", "200"),
        ("GET /empty", "204"),
        ("POST /", "200"),
    ]


def test_json_has_the_facts_of_its_request(as_json: Logged) -> None:
    began = time.monotonic()
    as_json.client.get("/slow?q=1&x=%C3%A9", 'User-Agent: a"b\\c')
    entry = as_json.entry()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", entry.pop("time"))
    # The application sleeps for 0.2 s, which timers count in whole milliseconds from when their loop last looked.
    assert 0.19 < entry.pop("first_byte") < (took := entry.pop("duration")) + 0.001
    assert 0.19 < took < time.monotonic() - began + 0.001
    assert entry.pop("thread") in (1, 2)
    assert entry == {
        "client": "127.0.0.1",
        "user": None,
        "method": "GET",
        "scheme": "http",
        "host": "example.org",
        "path": "/slow",
        "query": "q=1&x=%C3%A9",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 5,
        "queued": None,
        "referer": None,
        "user_agent": 'a"b\\c',
        "pid": as_json.process.pid,
    }


@pytest.mark.parametrize("path", ["/slow", "/parts", "/file", "/large", "/"])
def test_the_first_byte_goes_before_the_last(as_json: Logged, path: str) -> None:
    as_json.client.get(path)
    entry = as_json.entry()
    assert entry["path"] == path
    assert 0 < entry["first_byte"] <= entry["duration"] + 0.001


def test_the_first_byte_does_not_wait_for_the_last(as_json: Logged) -> None:
    with clients() as connect:
        client = connect(as_json.process)
        client.send(request("GET", "/left"))
        assert client.reader.head().status == 200
        # The size of a chunk, its bytes, and no more until the client leaves.
        assert [client.reader.line(), client.reader.line()] == [b"3", b"123"]
        assert client.is_silent(0.2)
    entry = as_json.entry()
    assert 0 < entry["first_byte"] < entry["duration"] - 0.15


def test_the_queue_time_is_that_of_a_proxy(as_json: Logged) -> None:
    as_json.client.get("/", f"X-Request-Start: t={time.time() - 3:.3f}")
    assert 2.9 < as_json.entry()["queued"] < 20
    as_json.client.get("/", f"X-Request-Start: {time.time() * 1e3 + 60_000:.0f}")
    assert as_json.entry()["queued"] == 0
    as_json.client.get("/", "X-Request-Start: noon")
    assert as_json.entry()["queued"] is None


def test_the_queue_time_is_believed_of_proxies_alone(tmp_path: Path) -> None:
    for server in logged(tmp_path, "%(Q)s %(N)s", "--threads", "1", "--forwarded-allow-ips", "192.0.2.1"):
        server.client.get("/", f"X-Request-Start: t={time.time() - 3:.3f}")
        assert server.line() == "- 1"


def test_atoms_of_time_and_thread(tmp_path: Path) -> None:
    for server in logged(tmp_path, "%(Q)s %(F)s %(L)s %(N)s", "--threads", "1"):
        sent_at = time.time()
        server.client.get("/slow", f"X-Request-Start: t={sent_at - 3:.3f}")
        answered_after = time.time() - sent_at
        queued, first, took, thread = server.line().split()
        # Up to its head, and not what it has taken since.
        assert 2.99 < float(queued) < 3.01 + answered_after - float(took)
        assert 0.19 < float(first) < float(took) + 0.001
        assert thread == "1"


def test_concurrent_requests_have_their_own_facts(as_json: Logged) -> None:
    with clients() as connect:
        connections = [connect(as_json.process) for _ in range(8)]
        for number, client in enumerate(connections):
            client.send(request("GET", "/parts" if number % 2 else "/", f"User-Agent: {number}"))
        for client in connections:
            client.read_response()
    entries = sorted((json.loads(line) for line in as_json.lines(8)), key=lambda entry: str(entry["user_agent"]))
    assert [(entry["user_agent"], entry["bytes"]) for entry in entries] == [
        (str(number), 20 if number % 2 else 5) for number in range(8)
    ]


def test_response_fields_are_those_that_were_sent(tmp_path: Path) -> None:
    text = "%({DATE}o)s|%({server}o)s|%({content-length}o)s|%({transfer-encoding}o)s|%({connection}o)s|%({x-forge}o)s"
    for server in logged(tmp_path, text):
        date = dict(server.client.get("/").headers)[b"date"].decode()
        parts = dict(server.client.get("/parts", "Connection: close").headers)[b"date"].decode()
        assert server.lines(2) == [
            f'{date}|threadserve|5|-|-|a\\"b\\\\',
            f'{parts}|threadserve|-|chunked|close|a\\"b\\\\',
        ]


def test_requests_of_a_wsgi_application(tmp_path: Path) -> None:
    for server in logged(tmp_path, ATOMS, "--interface", "wsgi", app="site"):
        server.client.get("/")
        server.client.get("/parts")
        server.client.send(post("/", b"body"))
        server.client.read_response()
        assert server.lines(3) == [
            '127.0.0.1 - "GET / HTTP/1.1" 200 5 "-" "-" 7',
            '127.0.0.1 - "GET /parts HTTP/1.1" 200 10 "-" "-" 7',
            '127.0.0.1 - "POST / HTTP/1.1" 200 5 "-" "-" 7',
        ]


def test_variables_of_a_wsgi_environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the request's environ when the response begins goes before the environment of the process."""
    monkeypatch.setenv("REMOTE_USER", "nobody")
    monkeypatch.setenv("RELEASE", "v1")
    text = "%(U)s %({REMOTE_USER}e)s %({site.number}e)s %({Request_Method}e)s %({release}e)s %({NOT_THERE}e)s"
    for server in logged(tmp_path, text, "--interface", "wsgi", app="site"):
        for path in ("/", "/streamed", "/file"):
            assert server.client.get(path).status == 200
            assert server.line() == f"{path} zo\\xc3\\xab 7 GET v1 -"
        server.client.send(post("/", b"body"))
        assert server.client.read_response().status == 200
        assert server.line() == "/ zo\\xc3\\xab 7 POST v1 -"


def test_a_mount_point_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$SCRIPT_NAME is known to WSGI, and to the path that is logged, as it is to Gunicorn."""
    monkeypatch.setenv("SCRIPT_NAME", "/shop")
    text = "%(U)s %({SCRIPT_NAME}e)s %({PATH_INFO}e)s"
    for server in logged(tmp_path, text, "--interface", "wsgi", app="site"):
        for path in ("/shop/parts?x=1", "/shop", "/shopping"):
            server.client.get(path)
        assert server.lines(3) == ["/parts /shop /parts", " /shop ", "/shopping /shop /shopping"]
