"""Many streams at once, while the server stops or replaces its workers: no request is lost."""

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hyperframe.frame import SettingsFrame
from support.apps import Gate, respond
from support.certificates import Authority, needs_openssl
from support.embedded_server import Serve
from support.http2_client import PREFACE, ConnectH2
from support.http2_load import load
from support.programs import needs_program, run_program
from support.server_process import PACKAGE_ROOT, ServerProcess
from support.waiting import DEADLINE, wait_until
from support.workers import STARTED

from threadserve.types import Receive, Scope, Send

needs_h2load = needs_program("h2load")

APP = "support.version_app:app"
ACCESS_LINE = re.compile(r'"(?:GET /number\S*|POST /digest) HTTP/2" 200')


def process(*options: str) -> ServerProcess:
    """The server as a process of its own."""
    path = f"{PACKAGE_ROOT}:{PACKAGE_ROOT / 'tests'}"
    return ServerProcess(APP, "--http2", "--lifespan", "off", *options, env={"PYTHONPATH": path, "WEB_CONCURRENCY": ""})


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server for loads that it outlives."""
    with process("--threads", "2") as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.stderr


def answered(server: ServerProcess) -> int:
    """How many requests the server says to have answered."""
    return len(ACCESS_LINE.findall(server.stdout))


def h2load(*options: str | Path) -> str:
    """What h2load writes, of which all requests have succeeded."""
    told = run_program("h2load", "-t", "1", *options, deadline=DEADLINE)
    total = re.search(r"requests: (\d+) total, \1 started, \1 done, \1 succeeded, 0 failed, 0 errored, 0 timeout", told)
    assert total, told
    assert f"status codes: {total[1]} 2xx, 0 3xx, 0 4xx, 0 5xx" in told
    return told


@needs_h2load
@pytest.mark.parametrize(
    "options",
    [
        ["-c", "10", "-m", "20"],
        ["-c", "1", "-m", "100"],
        ["-c", "50", "-m", "1"],
        ["-c", "4", "-m", "20", "-w", "12", "-W", "14"],
        ["-c", "4", "-m", "20", "--header-table-size=0"],
        ["-c", "4", "-m", "200"],
    ],
    ids=" ".join,
)
def test_all_requests_succeed(server: ServerProcess, options: list[str]) -> None:
    before = answered(server)
    h2load("-n", "3000", *options, f"{server.url}/number?n=1")
    wait_until(lambda: answered(server) == before + 3000, "the access log")


@needs_h2load
def test_all_uploads_succeed(server: ServerProcess, tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(bytes(100_000))
    h2load("-n", "300", "-c", "4", "-m", "10", "-d", upload, f"{server.url}/digest")


@needs_h2load
def test_the_windows_of_many_small_uploads_come_back(server: ServerProcess, tmp_path: Path) -> None:
    # Each is a single frame, and all together are far more than the connection's window.
    upload = tmp_path / "upload"
    upload.write_bytes(bytes(16_000))
    h2load("-n", "1000", "-c", "1", "-m", "1", "-d", upload, f"{server.url}/digest")


@needs_h2load
def test_all_downloads_succeed(server: ServerProcess) -> None:
    told = h2load("-n", "200", "-c", "4", "-m", "10", f"{server.url}/download?size=300000")
    assert re.search(r"\(60000000\) data", told), told


@needs_h2load
@needs_openssl
def test_all_requests_succeed_over_tls(tmp_path: Path) -> None:
    with process("--threads", "2", *Authority(tmp_path).sign("server").options) as server:
        told = h2load("-n", "2000", "-c", "4", "-m", "20", f"https://localhost:{server.port}/number?n=1")
        assert "Application protocol: h2\n" in told
        assert server.stop() == 0


@needs_h2load
def test_h2load_gets_all_that_was_served(tmp_path: Path) -> None:
    # It counts what it had no time to ask for as failed, and so tells nothing of that but how many answers it got.
    with process("--threads", "2") as server, (tmp_path / "told").open("w+") as told:
        command = ["h2load", "-n", "1000000", "-c", "6", "-m", "20", f"{server.url}/number?n=1&ms=5"]
        running = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: answered(server) > 2000, "answers")
            assert server.stop(signal.SIGTERM) == 0
            running.wait(DEADLINE)
        finally:
            running.kill()
            running.wait()
        told.seek(0)
        report = told.read()
        codes = re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", report)
        assert codes, report
        assert int(codes[1]) == answered(server)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_nothing_is_lost_when_it_stops(number: signal.Signals) -> None:
    with process("--threads", "2") as server, load(server) as clients:
        wait_until(lambda: clients.answered > 1000, "answers")
        assert server.stop(number) == 0
        clients.end()
        assert clients.lost == []
        # What the clients have to ask for again was not served, nor has anybody gone without an answer.
        assert clients.answered == answered(server)
        assert clients.refused == 4
        assert all(len(connection.client.goaways) == 2 for connection in clients.connections)
        assert "Traceback" not in server.stderr


def replace_workers(server: ServerProcess) -> None:
    """Has both workers replaced, and waits until those that were there have ended."""
    before = STARTED.findall(server.stderr)
    server.send_signal(signal.SIGHUP)
    wait_until(lambda: len(STARTED.findall(server.stderr)) == len(before) + 2, "new workers", 3 * DEADLINE)
    for pid in before[-2:]:
        server.wait_for_line(rf"Finished server process \[{pid}\]")


def test_nothing_is_lost_when_workers_are_replaced() -> None:
    # Processes start meanwhile, for which the clients leave time.
    with process("--workers", "2", "--threads", "1") as server, load(server, pause=0.05) as clients:
        wait_until(lambda: clients.answered > 500, "answers")
        replace_workers(server)
        reached = clients.answered + 500
        wait_until(lambda: clients.answered > reached, "answers of the new ones")
        replace_workers(server)
        clients.end()
        assert clients.lost == []
        assert clients.refused == 0
        assert len(clients.connections) >= 12
        wait_until(lambda: clients.answered == answered(server), "the access log")
        assert server.stop() == 0
        assert "Traceback" not in server.stderr


@pytest.mark.parametrize("early", [0, 10])
def test_who_has_said_little_yet_is_understood(serve: Serve, connect_h2: ConnectH2, early: int) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/waits":
            await gate.wait()
        await respond(send, b"served")

    server = serve(app)
    with socket.create_connection((server.host, server.port), DEADLINE) as late:
        late.sendall(PREFACE[:early])
        busy = connect_h2(server)
        stream = busy.open("/waits")
        gate.wait_for_arrivals()
        server.server.should_exit = True
        busy.read_until(lambda: len(busy.goaways) == 2)
        try:
            late.sendall(PREFACE[early:] + SettingsFrame(0).serialize())
            answer = late.recv(65536)
        except ConnectionError:
            answer = b""
        finally:
            gate.open()
    # In HTTP/2, or the connection is closed without a word: a client then knows that it may ask again.
    assert not answer.startswith(b"HTTP/1.1")
    assert busy.read(stream).body == b"served"
