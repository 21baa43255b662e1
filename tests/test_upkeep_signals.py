"""SIGHUP and SIGUSR1 end nobody and lose no request: log files are opened anew, in every process that has them."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.apps import hello
from support.raw_client import RawClient
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until
from support.workers import STARTED, begin_upload, chunk

from threadserve import Config, Server

TESTS = str(Path(__file__).parent)
BOTH = pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1], ids=["hup", "usr1"])

Start = Callable[..., ServerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(*options)` starts a server whose access log goes to a file `access.log`, and its other lines to stderr."""
    configuration = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "file": {"class": "logging.FileHandler", "filename": str(tmp_path / "access.log")},
            "stderr": {"class": "logging.StreamHandler"},
        },
        "loggers": {
            "threadserve": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
            "threadserve.access": {"handlers": ["file"], "level": "INFO", "propagate": False},
        },
    }
    (tmp_path / "log.json").write_text(json.dumps(configuration))
    with ExitStack() as stack:

        def start_one(*options: str) -> ServerProcess:
            log_config = ("--log-config", str(tmp_path / "log.json"))
            env = {"WEB_CONCURRENCY": ""}
            server = ServerProcess(
                "support.steered_app:app", "--app-dir", TESTS, *log_config, *options, env=env, cwd=tmp_path
            )
            stack.callback(lambda: server.kill() if hasattr(server, "process") else None)
            server.start()
            return server

        yield start_one


def get(server: ServerProcess, path: str) -> bytes:
    """What is answered to a request on a connection of its own."""
    client = RawClient(server.host, server.port)
    try:
        return client.get(path, "Connection: close").body
    finally:
        client.close()


@BOTH
@pytest.mark.parametrize(
    "options", [(), ("--threads", "2"), ("--workers", "1"), ("--workers", "2"), ("--reload",)], ids=" ".join
)
def test_lines_go_to_a_new_file(start: Start, tmp_path: Path, options: tuple[str, ...], number: int) -> None:
    server = start(*options)
    assert get(server, "/pid")
    moved = tmp_path / "access.log.1"
    (tmp_path / "access.log").rename(moved)
    wait_until(lambda: "/pid" in moved.read_text(), "the line in the file that was moved")
    server.send_signal(number)
    server.wait_for_line(f"Received {signal.Signals(number).name}.")

    def is_in_new_file() -> bool:
        get(server, "/pid")
        new = tmp_path / "access.log"
        return new.exists() and "/pid" in new.read_text()

    wait_until(is_in_new_file, "a line in the new file", 2 * DEADLINE)
    assert server.stop(deadline=2 * DEADLINE) == 0
    assert "Traceback" not in server.stderr


@BOTH
@pytest.mark.parametrize("options", [(), ("--workers", "1")], ids=["single", "one-worker"])
def test_what_is_in_flight_is_answered(start: Start, options: tuple[str, ...], number: int) -> None:
    server = start(*options)
    client = RawClient(server.host, server.port)
    try:
        begin_upload(client)
        server.wait_for_line("reading", "stdout")
        server.send_signal(number)
        server.wait_for_line(f"Received {signal.Signals(number).name}.")
        if options and number == signal.SIGHUP:
            wait_until(lambda: len(STARTED.findall(server.stderr)) == 2, "another worker", 2 * DEADLINE)
        client.send(chunk(b"and ended") + chunk(b""))
        assert client.read_response("POST").body == b"begun and ended"
    finally:
        client.close()
    assert server.stop(deadline=2 * DEADLINE) == 0


def test_one_worker_that_dies_is_replaced(start: Start) -> None:
    server = start("--workers", "1")
    worker = int(get(server, "/pid"))
    assert worker != server.pid
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: len(STARTED.findall(server.stderr)) == 2, "another worker", 2 * DEADLINE)
    assert server.stop() == 0


def test_workers_outlive_signals_that_all_processes_get(start: Start) -> None:
    server = start("--workers", "2")
    wait_until(lambda: len(STARTED.findall(server.stderr)) == 2, "both workers", 2 * DEADLINE)
    pids = [int(pid) for pid in STARTED.findall(server.stderr)]
    for pid in (server.pid, *pids):
        os.kill(pid, signal.SIGUSR1)
    wait_until(lambda: server.stderr.count("Reopened 1 log file.") >= 3, "all to have reopened their files")
    assert int(get(server, "/pid")) in pids
    assert server.stop() == 0
    assert "died" not in server.stderr


def test_a_program_keeps_the_handlers_that_it_has() -> None:
    came: list[int] = []

    class Raising(Server):
        async def main_loop(self) -> None:
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGHUP)

    before = signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
    try:
        asyncio.run(Raising(Config(hello, port=0, log_config=None)).serve())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert came == [signal.SIGUSR1]
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
