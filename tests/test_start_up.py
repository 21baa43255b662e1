"""What a user sees when the server starts, and when it cannot."""

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support.server_process import ServerProcess

from threadserve import __version__
from threadserve.runtime.cpus import count_usable_cpus
from threadserve.runtime.gil import is_free_threaded_build

TESTS = str(Path(__file__).parent)
STEERED = "support.steered_app:app"

BROKEN = """
def connect():
    raise ValueError("no such database")

connect()
"""

Start = Callable[..., ServerProcess]


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(app, *options, **environment)` starts a process and waits until it serves."""
    with ExitStack() as stack:

        def start_one(app: str, *options: str, wait: bool = True, **env: str) -> ServerProcess:
            server = ServerProcess(app, "--app-dir", TESTS, *options, env={"WEB_CONCURRENCY": "", **env})
            stack.callback(lambda: server.kill() if hasattr(server, "process") else None)
            server.start(wait=wait)
            return server

        yield start_one


@pytest.fixture
def fail(start: Start) -> Callable[..., tuple[int, str]]:
    """`fail(app, *options, **environment)`: the exit code and stderr of a process that does not start."""

    def start_one(app: str, *options: str, **env: str) -> tuple[int, str]:
        server = start(app, *options, wait=False, **env)
        code = server.wait()
        assert "running on" not in server.stderr
        return code, server.stderr

    return start_one


Fail = Callable[..., tuple[int, str]]


def listening() -> socket.socket:
    """A socket of somebody else's."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    return taken


def test_a_port_in_use_is_one_line(fail: Fail) -> None:
    with listening() as taken:
        port = taken.getsockname()[1]
        code, told = fail(STEERED, "--port", str(port))
    assert (code, told) == (3, f"Error: cannot bind to 127.0.0.1:{port}: address already in use\n")


def test_the_port_of_another_server_is_in_use(start: Start, fail: Fail) -> None:
    other = start(STEERED)
    code, told = fail(STEERED, "--port", str(other.port))
    assert (code, told) == (3, f"Error: cannot bind to 127.0.0.1:{other.port}: address already in use\n")


@pytest.mark.parametrize("distribute", ["least-busy", "kernel"])
def test_a_server_that_starts_meanwhile_has_the_port(start: Start, tmp_path: Path, distribute: str) -> None:
    """Neither listens while their applications start: the second to get so far must not share the port in silence."""
    go = tmp_path / "go"
    # Bound, it is nobody else's; as it does not listen, the servers may have it too.
    free = socket.socket()
    free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
    options = ("--port", str(port), "--threads", "2", "--distribute", distribute)
    both = [start(STEERED, *options, wait=False, STEERED_STARTUP=str(go)) for _ in range(2)]
    for server in both:
        if server.process.poll() is None:
            server.wait_for_line("starting", "stdout")
    free.close()
    go.touch()
    failed = next(server for server in both if ended(server, both))
    assert failed.wait() == 3
    assert f"Error: cannot bind to 127.0.0.1:{port}: address already in use\n" in failed.stderr
    assert failed.stdout.split().count("up") == failed.stdout.split().count("down")
    served = next(server for server in both if server is not failed)
    served.wait_for_line("running on")
    assert served.stop() == 0


def ended(server: ServerProcess, both: list[ServerProcess]) -> bool:
    """Waits until one of two servers says how its start went; returns whether this one has failed."""
    for each in both:
        each.wait_for_line("running on|Error: ")
    return "Error: " in server.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_folders_to_watch_without_reload_are_told_of(start: Start, workers: str) -> None:
    server = start(STEERED, "--reload-dir", TESTS, "--workers", workers)
    assert server.stderr.count("Nothing is watched for changes: that takes --reload.") == 1
    assert server.stop() == 0


def test_an_unknown_host_is_one_line(fail: Fail) -> None:
    # Name servers that do not answer are not asked for long.
    code, told = fail(STEERED, "--host", "nowhere.invalid", RES_OPTIONS="timeout:1 attempts:1")
    assert code == 3
    assert re.fullmatch(r"Error: cannot bind to host 'nowhere.invalid': .+\n", told)


def test_an_address_of_another_machine_is_one_line(fail: Fail) -> None:
    code, told = fail(STEERED, "--host", "192.0.2.1")
    assert code == 3
    assert re.fullmatch(r"Error: cannot bind to 192.0.2.1:0: .+\n", told)


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_module_that_is_not_there_is_one_line(fail: Fail, threads: str) -> None:
    code, told = fail("support.steered_ap:app", "--threads", threads)
    assert code == 3
    assert re.fullmatch(r"Error: .*support\.steered_ap\b.*\n", told)


def test_a_missing_attribute_is_one_line_with_the_near_miss(fail: Fail) -> None:
    code, told = fail("support.steered_app:ap", "--threads", "2")
    assert code == 3
    assert re.fullmatch(r"Error: .*'ap'.*\n", told)
    assert re.search("did you mean .*app", told, re.IGNORECASE)


def test_a_module_that_raises_shows_its_own_traceback(fail: Fail, tmp_path: Path) -> None:
    (tmp_path / "broken_app.py").write_text(BROKEN)
    code, told = fail("broken_app:app", "--app-dir", str(tmp_path), "--threads", "2")
    lines = told.splitlines()
    assert code == 1
    assert lines[0] == "Traceback (most recent call last):"
    assert sum(line.startswith("Error: ") for line in lines) == 1
    assert lines[-1].startswith("Error: ")
    assert "no such database" in told
    files = re.findall(r'File "(.+?)"', told)
    assert files
    assert set(files) == {str(tmp_path / "broken_app.py")}


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("error", ["KeyboardInterrupt", "GeneratorExit"])
def test_a_module_that_interrupts_itself_is_one_line(fail: Fail, tmp_path: Path, error: str, threads: str) -> None:
    (tmp_path / "broken_app.py").write_text(f"raise {error}")
    code, told = fail("broken_app:app", "--app-dir", str(tmp_path), "--threads", threads)
    assert code == 1
    assert told.splitlines()[-1] == f"Error: broken_app:app cannot be imported: {error}"
    assert set(re.findall(r'File "(.+?)"', told)) == {str(tmp_path / "broken_app.py")}


INTERRUPTED = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise KeyboardInterrupt
"""


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_start_up_that_interrupts_itself_fails(fail: Fail, tmp_path: Path, threads: str) -> None:
    (tmp_path / "interrupted_app.py").write_text(INTERRUPTED)
    options = ("--app-dir", str(tmp_path), "--lifespan", "on", "--threads", threads)
    code, told = fail("interrupted_app:app", *options)
    assert code == 3
    assert told.splitlines()[-1] == "Error: the application's startup failed: KeyboardInterrupt"
    assert "died" not in told


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_start_up_that_fails_shows_the_traceback_and_one_line(fail: Fail, threads: str) -> None:
    code, told = fail(STEERED, "--lifespan", "on", "--threads", threads, STEERED_STARTUP="fail")
    assert code == 3
    assert [line for line in told.splitlines() if line.startswith("Error: ")] == told.splitlines()[-1:]
    assert told.splitlines()[-1] == "Error: the application's startup failed: ValueError: the database is away"
    assert "steered_app.py" in told
    assert "Shutting down" not in told


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        (("--threads", "0"), "--threads"),
        (("--port", "70000"), "--port"),
        (("--loop", "twisted"), "--loop"),
        (("--app-dir", "/nowhere/at/all"), "--app-dir"),
    ],
)
def test_a_bad_value_is_one_line(fail: Fail, options: tuple[str, ...], culprit: str) -> None:
    code, told = fail(STEERED, *options)
    assert code == 2
    assert re.fullmatch(rf"Error: .*'{culprit}'.*\n", told)


@pytest.mark.skipif(not is_free_threaded_build(), reason="counts processes on a build with the GIL")
def test_a_bad_number_of_threads_in_the_environment_is_one_line(fail: Fail) -> None:
    code, told = fail(STEERED, WEB_CONCURRENCY="many")
    assert code == 2
    assert re.fullmatch(r"Error: .*--threads.*\$WEB_CONCURRENCY is 'many', not a number of threads\n", told)


@pytest.mark.parametrize(
    ("threads", "instances"),
    [("1", "1 app instance"), ("3", r"3 app instances \(\d+ modules? of the project in each\)")],
)
def test_the_log_says_what_serves_on_what_and_where(start: Start, threads: str, instances: str) -> None:
    server = start(STEERED, "--threads", threads, "--http", "h11", "--loop", "asyncio")
    gil = "free-threaded, the GIL is off" if is_free_threaded_build() else "with the GIL"
    plural = "" if threads == "1" else "s"
    server.wait_for_line(
        rf"INFO: +threadserve {re.escape(__version__)} on CPython [\d.]+\w*, {gil}: "
        rf"{threads} thread{plural}, {instances}, asyncio, h11$"
    )
    assert server.stderr.isascii()
    assert server.port != 0
    assert f"INFO:     threadserve running on http://127.0.0.1:{server.port} (Press CTRL+C to quit)\n" in server.stderr
    turns = server.stderr.count("the threads take turns")
    assert turns == (0 if is_free_threaded_build() or threads == "1" else 1)


IDLE = (
    r'This process may use (\d+) CPUs and serves on 1 thread: --threads auto would use them all. Read "App instances"'
)


def test_the_default_is_one_thread_and_the_log_says_how_to_use_all_cpus(start: Start) -> None:
    server = start(STEERED)
    assert server.wait_for_line(r": (\d+) threads?, ")[1] == "1"
    idle = re.findall(IDLE, server.stderr)
    assert idle == ([str(count_usable_cpus())] if is_free_threaded_build() and count_usable_cpus() > 1 else [])


def test_auto_is_a_thread_per_usable_cpu(start: Start) -> None:
    server = start(STEERED, "--threads", "auto")
    assert server.wait_for_line(r": (\d+) threads?, ")[1] == str(count_usable_cpus())
    assert not re.search(IDLE, server.stderr)


def test_auto_is_a_worker_per_usable_cpu(start: Start) -> None:
    server = start(STEERED, "--workers", "auto", "--threads", "auto")
    count = server.wait_for_line(r": (\d+) process(?:es)?, 1 thread each")[1]
    assert count == str(count_usable_cpus())
    assert not re.search(IDLE, server.stderr)
    assert server.stop() == 0


@contextmanager
def one_cpu() -> Iterator[None]:
    """Processes that are started within may run on one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
@pytest.mark.skipif(os.cpu_count() == 1, reason="one CPU is all that there is")
@pytest.mark.parametrize(
    ("option", "told"),
    [("--threads", "1 thread, "), ("--workers", "1 process, 1 thread each")],
    ids=["single", "worker"],
)
def test_the_log_says_what_keeps_it_from_using_all_cpus(start: Start, option: str, told: str) -> None:
    with one_cpu():
        server = start(STEERED, option, "auto")
    counted = f"INFO:     This process may use 1 CPU (its affinity; {os.cpu_count()} in the machine).\n"
    assert server.stderr.count(counted) == 1
    assert f": {told}" in server.stderr


def test_a_site_whose_threads_are_the_pools_is_told_nothing_of_cpus(start: Start) -> None:
    assert not re.search(IDLE, start("support.wsgi_apps:hello").stderr)


def test_a_host_with_two_addresses_is_named_twice_with_one_port(start: Start) -> None:
    server = start(STEERED, "--host", "localhost")
    ports = re.findall(r"running on http://(\S+):(\d+) ", server.stderr)
    assert len({port for _, port in ports}) == 1
