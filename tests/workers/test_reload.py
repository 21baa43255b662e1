"""`--reload` with the real command: edits are served, broken ones are waited out, and nobody is refused meanwhile."""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from support.editable_site import environment, replace_code, write_site
from support.processes import halt, has_ended
from support.raw_client import RawClient, request
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until

STARTED = re.compile(r"Started server process \[(\d+)\]")
# What makes watchfiles look as if it were not installed.
WITHOUT_WATCHFILES = "import sys\nsys.modules['watchfiles'] = None\n"

Start = Callable[..., ServerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(*options)` starts the command in a folder with the module `site_app`, and waits until it serves."""
    write_site(tmp_path)
    with ExitStack() as stack:

        def start_one(*options: str, wait: bool = True) -> ServerProcess:
            settings = ["--reload", "--reload-delay", "0.05", *options]
            server = ServerProcess("site_app:app", *settings, cwd=tmp_path, env=environment(tmp_path))
            stack.callback(lambda: server.kill() if hasattr(server, "process") else None)
            server.start(wait=wait)
            return server

        yield start_one


def version(server: ServerProcess) -> str:
    """Which of its versions the application says that it is."""
    client = RawClient(server.host, server.port)
    # It may have to wait for the end of one process and the start of another.
    client.socket.settimeout(3 * DEADLINE)
    try:
        return client.get("/version", "Connection: close").body.decode()
    finally:
        client.close()


def wait_for_version(server: ServerProcess, expected: str) -> None:
    """Waits until the edit is served. A refused connection is an error."""
    wait_until(lambda: version(server) == expected, f"version {expected}", 3 * DEADLINE)


def wait_for_lines(server: ServerProcess, text: str, count: int) -> None:
    """Waits until a text was logged so many times."""
    wait_until(lambda: server.stderr.count(text) >= count, f"{count} times {text!r}", 3 * DEADLINE)


@contextmanager
def visitors(server: ServerProcess) -> Iterator[list[str]]:
    """Has three clients ask again and again; what goes wrong is in the list in the end."""
    over = threading.Event()
    failures: list[str] = []

    def visit() -> None:
        # Less would keep the machine busy that imports the edit meanwhile.
        while not over.wait(0.005):
            try:
                version(server)
            except Exception as error:
                failures.append(repr(error))
                return

    threads = [threading.Thread(target=visit) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        over.set()
        for thread in threads:
            thread.join(2 * DEADLINE)


def child_of(server: ServerProcess) -> int:
    """The process that serves now."""
    return int(STARTED.findall(server.stderr)[-1])


def test_an_edit_is_served_and_nobody_is_refused_meanwhile(start: Start, tmp_path: Path) -> None:
    server = start()
    assert f"Will watch for changes in these directories: ['{tmp_path}']" in server.stderr
    name = "WatchFiles" if find_spec("watchfiles") else "modification times"
    assert f"Started reloader process [{server.pid}] using {name}" in server.stderr
    assert version(server) == "1"
    with visitors(server) as failures:
        for number in ("2", "3"):
            write_site(tmp_path, number)
            wait_for_version(server, number)
    assert failures == []
    server.wait_for_line(f"{name} detected changes in 'site_app.py'. Reloading...")
    assert server.stop() == 0
    assert f"Stopping reloader process [{server.pid}]" in server.stderr
    assert server.stderr.count("threadserve running on") == 1


def test_a_module_that_the_application_imports(start: Start, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    part = tmp_path / "parts" / "colour.py"
    part.write_text("COLOUR = 'red'\n")
    path = write_site(tmp_path)
    replace_code(path, "from parts.colour import COLOUR\n" + path.read_text().replace("'1'", "COLOUR"))
    server = start()
    assert version(server) == "red"
    replace_code(part, "COLOUR = 'blue'\n")
    wait_for_version(server, "blue")


def test_a_broken_edit_is_shown_and_waited_out(start: Start, tmp_path: Path) -> None:
    server = start()
    for mended, code, error in [
        ("2", "def app(:", "SyntaxError"),
        ("3", "import there_is_none", "ModuleNotFoundError"),
    ]:
        serving = child_of(server)
        replace_code(tmp_path / "site_app.py", f"{code}\n")
        wait_for_lines(server, "Waiting for changes", int(mended) - 1)
        assert not psutil.pid_exists(serving)
        children = psutil.Process(server.pid).children()
        assert not [process for process in children if "spawn_main" in str(process.cmdline())]
        assert code in server.stderr
        assert re.search(f"^{error}: ", server.stderr, re.M)
        client = RawClient(server.host, server.port)
        client.send(request("GET", "/version"))
        write_site(tmp_path, mended)
        assert client.read_response().body == mended.encode()
        client.close()
    assert server.stop() == 0


def test_an_application_that_is_broken_from_the_start(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "site_app.py"
    path.write_text("def app(:\n")
    server = start(wait=False)
    server.wait_for_line("Waiting for changes")
    write_site(tmp_path, "1")
    match = server.wait_for_line(r"threadserve running on http://(.+):(\d+) ")
    server.host, server.port = match[1], int(match[2])
    assert version(server) == "1"


def test_a_request_in_flight_is_answered_by_the_old_code(start: Start, tmp_path: Path) -> None:
    server = start()
    client = RawClient(server.host, server.port)
    client.send(request("POST", "/upload", "Content-Length: 10", "Expect: 100-continue"))
    assert client.reader.line().startswith(b"HTTP/1.1 100")
    assert client.reader.line() == b""
    write_site(tmp_path, "2")
    server.wait_for_line("Shutting down$")
    client.send(b"all of it.")
    assert client.read_response("POST").body == b"all of it."
    client.close()
    wait_for_version(server, "2")


def test_a_child_that_hangs_is_killed(start: Start, tmp_path: Path) -> None:
    server = start("--timeout-graceful-shutdown", "0")
    halt(child_of(server))
    write_site(tmp_path, "2")
    wait_for_version(server, "2")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["sigint", "sigterm"])
def test_a_signal_to_all_processes_cuts_nothing_off(start: Start, number: int) -> None:
    server = start()
    client = RawClient(server.host, server.port)
    client.send(request("POST", "/upload", "Content-Length: 10", "Expect: 100-continue"))
    assert client.reader.line().startswith(b"HTTP/1.1 100")
    assert client.reader.line() == b""
    for pid in (server.pid, child_of(server)):
        os.kill(pid, number)
    with pytest.raises(TimeoutError):
        wait_until(lambda: "Finished server process" in server.stderr, "the busy one to end", 1)
    client.send(b"all of it.")
    assert client.read_response("POST").body == b"all of it."
    client.close()
    assert server.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["sigint", "sigterm"])
def test_a_second_signal_ends_it_at_once(start: Start, number: int) -> None:
    server = start()
    serving = child_of(server)
    client = RawClient(server.host, server.port)
    client.send(request("POST", "/upload", "Content-Length: 10", "Expect: 100-continue"))
    assert client.reader.line().startswith(b"HTTP/1.1 100")
    server.send_signal(number)
    server.wait_for_line("Shutting down$")
    assert server.stop(number) == 128 + number
    client.close()
    server.wait_for_line(r"Cut off 1 request at once: POST /upload \(\d+ s\)$")
    server.wait_for_line('"POST /upload HTTP/1.1" 499', "stdout")
    assert not psutil.pid_exists(serving)


def test_a_child_of_a_killed_reloader_ends(start: Start) -> None:
    server = start()
    serving = child_of(server)
    server.process.kill()
    wait_until(lambda: has_ended(serving), "the end of the child", 2 * DEADLINE)


def test_patterns(start: Start, tmp_path: Path) -> None:
    (tmp_path / "generated").mkdir()
    server = start("--reload-include", "*.toml", "--reload-exclude", "generated")
    first = child_of(server)
    (tmp_path / "generated" / "code.py").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "settings.toml").touch()
    server.wait_for_line("detected changes in 'settings.toml'. Reloading")
    wait_until(lambda: child_of(server) != first, "the new child", 2 * DEADLINE)
    assert server.stderr.count("detected changes") == 1


def test_without_watchfiles(start: Start, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_WATCHFILES)
    server = start()
    assert "using modification times" in server.stderr
    write_site(tmp_path, "2")
    wait_for_version(server, "2")
