"""A process that runs out of file descriptors: accepting pauses, the rest goes on, and it recovers by itself."""

import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from support.raw_client import RawClient
from support.server_process import ServerProcess
from support.waiting import wait_until

LIMIT = 70
CLIENTS = 80
WATCHED = 1.5
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CANNOT_ACCEPT = "Cannot accept connections: Too many open files."

APP = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT}))

async def app(scope, receive, send):
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}})
    await send({{"type": "http.response.body", "body": b"ok"}})
"""
MODES = {
    "one thread": ["--threads", "1"],
    "least-busy": ["--threads", "2"],
    "kernel": ["--threads", "2", "--distribute", "kernel"],
}


CASES = [(mode, "uvloop") for mode in MODES] + [("one thread", "asyncio"), ("least-busy", "asyncio")]


@pytest.fixture(params=CASES, ids="-".join)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that cannot have more than `LIMIT` descriptors, and reports that once for each thread that accepts."""
    mode, loop = request.param
    (tmp_path / "exhausted.py").write_text(APP)
    options = [*MODES[mode], "--loop", loop, "--lifespan", "off", "--app-instance", "shared", "--no-access-log"]
    with ServerProcess("exhausted:app", *options, "--timeout-keep-alive", "60", cwd=tmp_path) as process:
        yield process
        assert process.stop() == 0
        assert 1 <= process.stderr.count(CANNOT_ACCEPT) <= (2 if mode == "kernel" else 1)
        assert "Traceback" not in process.stderr


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def test_running_out_of_descriptors(server: ServerProcess) -> None:
    process = psutil.Process(server.pid)
    with ExitStack() as stack:
        served = RawClient(server.host, server.port)
        stack.callback(served.close)
        assert served.get().body == b"ok"
        clients = []
        for _ in range(CLIENTS):
            client = RawClient(server.host, server.port)
            stack.callback(client.close)
            client.send(GET)
            clients.append(client)
        server.wait_for_line(CANNOT_ACCEPT)
        wait_until(lambda: process.num_fds() >= LIMIT - 1, "every descriptor to be taken")
        wait_until(
            lambda: CLIENTS - len(unanswered(clients)) == accepted(process) - 1, "whoever was accepted to be served"
        )
        # Not always the last, where each thread accepts for itself.
        waiting = unanswered(clients)
        before = cpu_seconds(process)
        assert waiting[-1].is_silent(WATCHED)
        assert cpu_seconds(process) - before < 0.2 * WATCHED
        assert unanswered(clients) == waiting
        assert served.get().body == b"ok"
        # When those that are served go, the others are.
        for client in clients:
            if client not in waiting:
                assert client.read_response().body == b"ok"
                client.close()
        for client in waiting:
            assert client.read_response().body == b"ok"
        assert served.get().body == b"ok"
        last = RawClient(server.host, server.port)
        stack.callback(last.close)
        assert last.get().body == b"ok"


def accepted(process: psutil.Process) -> int:
    """How many connections it has."""
    return sum(connection.status == psutil.CONN_ESTABLISHED for connection in process.net_connections("tcp"))


def unanswered(clients: list[RawClient]) -> list[RawClient]:
    """Those that the server has sent nothing to."""
    return [client for client in clients if client.is_silent(0)]


IDLE = 2_000
# Until the threads have given the connections back, in seconds.
REST = 4.0


def test_idle_connections_cost_no_time_and_are_closed(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = IDLE + 500
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"needs {needed} file descriptors, and may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        # On a slow machine they have to be kept for longer, so that all are open before the first is closed.
        assert any(hold_idle_connections(tmp_path, keep_alive) for keep_alive in (10, 30))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def hold_idle_connections(folder: Path, keep_alive: int) -> bool:
    """Opens 2,000 connections with one request each, and watches them until all are closed.

    Returns False where opening them takes so long that the first may be closed while they are watched.
    """
    (folder / "idle.py").write_text(APP.split("\n\n", 1)[1])
    options = ["--threads", "2", "--lifespan", "off", "--no-access-log", "--timeout-keep-alive", str(keep_alive)]
    with ServerProcess("idle:app", *options, cwd=folder) as server, ExitStack() as stack:
        process = psutil.Process(server.pid)
        memory = process.memory_info().rss
        clients = []
        begun = time.monotonic()
        for _ in range(IDLE):
            clients.append(RawClient(server.host, server.port))
            stack.callback(clients[-1].close)
            clients[-1].send(GET)
        assert all(client.read_response().body == b"ok" for client in clients)
        assert process.memory_info().rss - memory < IDLE * 20_000
        if time.monotonic() - begun > keep_alive - REST - 3:
            return False
        assert clients[0].is_silent(REST)
        before = cpu_seconds(process)
        assert clients[0].is_silent(1)
        assert cpu_seconds(process) - before < 0.2
        assert all(client.is_closed() for client in clients)
        assert cpu_seconds(process) - before < 1.5
        wait_until(lambda: process.num_fds() < 100, "the server to close its side")
        assert server.stop() == 0
        return True
