"""Workers that cannot start at all: the supervisor ends with their exit code, and says why once."""

import signal
from pathlib import Path

import pytest
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until
from support.workers import StartWorkers, Workers

from threadserve import Config
from threadserve.errors import ConfigError
from threadserve.workers.child import check_picklable

CAUSES = [
    ("raise ValueError('nothing works')", 1, "ValueError: nothing works"),
    ("from nowhere import nothing", 1, "ModuleNotFoundError"),
    ("import os; os._exit(7)", 7, "Error: a worker process could not start: exit code 7"),
    ("import os; os.kill(os.getpid(), 9)", 137, "Error: a worker process could not start: killed by SIGKILL"),
]


@pytest.mark.parametrize(("code", "exit_code", "said"), CAUSES)
def test_code_that_does_not_start_ends_all_and_is_shown_once(
    tmp_path: Path, code: str, exit_code: int, said: str
) -> None:
    server = Workers(tmp_path)
    server.write_code("broken code", code)
    server.start(wait=False)
    try:
        assert server.wait(3 * DEADLINE) == exit_code
    finally:
        server.kill()
    *before, last = server.stderr.splitlines()
    assert last.startswith("Error: ")
    assert said in last
    assert sum(said in line for line in before) == sum("Traceback" in line for line in before) == ("os." not in code)
    assert "running on" not in server.stderr


def test_a_failed_lifespan_startup_ends_all_with_its_exit_code(start_workers: StartWorkers) -> None:
    server = start_workers("--lifespan", "on", wait=False, env={"STEERED_STARTUP": "fail"})
    assert server.wait(3 * DEADLINE) == 3
    assert "the database is away" in server.stderr


def test_a_signal_during_startup_ends_all(start_workers: StartWorkers) -> None:
    server = start_workers("--timeout-graceful-shutdown", "1", wait=False, env={"STEERED_STARTUP": "hang"})
    wait_until(lambda: server.stdout.count("starting\n") == 2, "both to start", 3 * DEADLINE)
    assert server.stop(signal.SIGINT) == 128 + signal.SIGINT
    assert "Traceback" not in server.stderr


def test_an_address_in_use_is_one_line(start_workers: StartWorkers, tmp_path: Path) -> None:
    first = start_workers()
    second = ServerProcess("code:app", "--app-dir", str(tmp_path), "--workers", "2", "--port", str(first.port))
    second.start(wait=False)
    try:
        assert second.wait(3 * DEADLINE) == 3
    finally:
        second.kill()
    assert second.stderr == f"Error: cannot bind to 127.0.0.1:{first.port}: address already in use\n"
    assert first.stop() == 0


def test_what_cannot_be_passed_on_is_named() -> None:
    with pytest.raises(ConfigError, match="ssl_context_factory: it cannot be passed to another process"):
        check_picklable(Config("module:app", ssl_context_factory=lambda config, default: default()))
