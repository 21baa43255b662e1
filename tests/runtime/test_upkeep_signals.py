"""SIGHUP and SIGUSR1 end nobody and lose no request: log files are opened anew, in every process that has them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.apps import hello
from support.processes import wait_for_sleep
from support.raw_client import RawClient
from support.server_process import PACKAGE_ROOT, SERVING, ServerProcess
from support.waiting import DEADLINE, wait_until
from support.workers import STARTED, begin_upload, chunk

from threadserve import Config, Server

TESTS = str(Path(__file__).parents[1])
BOTH = (signal.SIGUSR1, signal.SIGHUP)

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


def reopen_after_move(server: ServerProcess, log: Path, moved: Path, number: signal.Signals) -> None:
    """Moves the log away and has the server open it anew; waits until lines go there."""
    assert get(server, "/pid")
    log.rename(moved)
    wait_until(lambda: "/pid" in moved.read_text(), "the line in the file that was moved")
    server.send_signal(number)
    server.wait_for_line(f"Received {number.name}.")

    def is_in_new_file() -> bool:
        get(server, "/pid")
        return log.exists() and "/pid" in log.read_text()

    wait_until(is_in_new_file, "a line in the new file", 2 * DEADLINE)


@pytest.mark.parametrize(
    "options", [(), ("--threads", "2"), ("--workers", "1"), ("--workers", "2"), ("--reload",)], ids=" ".join
)
def test_lines_go_to_a_new_file(start: Start, tmp_path: Path, options: tuple[str, ...]) -> None:
    server = start(*options)
    for number in BOTH:
        reopen_after_move(server, tmp_path / "access.log", tmp_path / f"access.log.{number.name}", number)
    assert server.stop(deadline=2 * DEADLINE) == 0
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize("options", [(), ("--workers", "1")], ids=["single", "one-worker"])
def test_what_is_in_flight_is_answered(start: Start, options: tuple[str, ...]) -> None:
    server = start(*options)
    client = RawClient(server.host, server.port)
    try:
        begin_upload(client)
        server.wait_for_line("reading", "stdout")
        for number in BOTH:
            server.send_signal(number)
            server.wait_for_line(f"Received {number.name}.")
        if options:
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


SLOW = """
import os
print("importing", os.getpid(), flush=True)
open("go").read()
from support.apps import hello as app
"""
# `run` in a program, which makes no difference to what handles the signals afterwards.
PROGRAM = """
import signal, sys, threadserve
if __name__ == "__main__":
    threadserve.run("support.apps:hello", port=0, log_config="go.json")
    print([signal.getsignal(number).name for number in (signal.SIGHUP, signal.SIGUSR1)])
"""
LOG = {
    "version": 1,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
}


class Fifo:
    """A pipe whose reader waits until the test has it go on."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self._end = -1

    def wait_for_reader(self) -> None:
        """Waits until somebody reads, who goes on waiting."""

        def has_reader() -> bool:
            try:
                self._end = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                return False
            return True

        wait_until(has_reader, "a reader", 2 * DEADLINE)

    def give(self, text: str = "") -> None:
        """Lets the reader go on, with this text."""
        os.write(self._end, text.encode())
        os.close(self._end)


@pytest.fixture
def fifo(tmp_path: Path) -> Fifo:
    return Fifo(tmp_path / "go")


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Start]:
    """`begin(*arguments)` starts a server and does not wait until it serves; `program` is what to run instead."""
    with ExitStack() as stack:

        def begin_one(*arguments: str, program: Path | None = None) -> ServerProcess:
            server = ServerProcess(
                *arguments, env={"WEB_CONCURRENCY": "", "PYTHONPATH": f"{TESTS}:{PACKAGE_ROOT}"}, cwd=tmp_path
            )
            if program is not None:
                server.command = [sys.executable, str(program)]
            server.start(wait=False)
            stack.callback(server.kill)
            return server

        yield begin_one


def wait_until_serving(server: ServerProcess) -> None:
    match = server.wait_for_line(SERVING)
    server.host, server.port = match[1], int(match[2])
    assert get(server, "/")


@pytest.mark.parametrize("options", [(), ("--workers", "1"), ("--reload",)], ids=" ".join)
def test_no_signal_ends_a_command_that_reads_its_settings(begin: Start, fifo: Fifo, options: tuple[str, ...]) -> None:
    server = begin("support.apps:hello", "--config", "go", *options)
    fifo.wait_for_reader()
    for number in (signal.SIGHUP, signal.SIGUSR1):
        server.send_signal(number)
    fifo.give('app-dir = "."')
    wait_until_serving(server)
    assert server.stop() == 0


def test_no_signal_ends_a_program_that_makes_its_server(begin: Start, fifo: Fifo, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "go.json").symlink_to("go")
    server = begin("support.apps:hello", program=tmp_path / "program.py")
    fifo.wait_for_reader()
    for number in (signal.SIGHUP, signal.SIGUSR1):
        server.send_signal(number)
    fifo.give(json.dumps(LOG))
    wait_until_serving(server)
    assert server.stop() == 0
    assert server.stdout == "['SIG_DFL', 'SIG_DFL']\n"


@pytest.mark.parametrize("options", [(), ("--workers", "1"), ("--reload",)], ids=" ".join)
def test_no_signal_ends_a_process_that_imports_the_application(
    begin: Start, fifo: Fifo, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "slow_app.py").write_text(SLOW)
    server = begin("slow_app:app", *options)
    pid = int(server.wait_for_line(r"importing (\d+)", "stdout")[1])
    fifo.wait_for_reader()
    for number in (signal.SIGHUP, signal.SIGUSR1):
        os.kill(pid, number)
    fifo.give()
    wait_until_serving(server)
    assert server.stop() == 0
    assert server.stdout.count("importing") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, -15)], ids=["int", "term"])
def test_a_signal_to_stop_ends_a_command_that_reads_its_settings(
    begin: Start, fifo: Fifo, number: int, code: int
) -> None:
    server = begin("support.apps:hello", "--config", "go")
    fifo.wait_for_reader()
    wait_for_sleep(server.process.pid)
    assert server.stop(number) == code


@pytest.mark.parametrize("options", [(), ("--workers", "1")], ids=["single", "one-worker"])
def test_a_signal_to_stop_ends_an_import(begin: Start, fifo: Fifo, tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "slow_app.py").write_text(SLOW)
    server = begin("slow_app:app", *options)
    server.wait_for_line("importing", "stdout")
    fifo.wait_for_reader()
    wait_for_sleep(server.process.pid)
    # Less than the time that requests would be given.
    assert server.stop(deadline=15) == 128 + signal.SIGTERM
