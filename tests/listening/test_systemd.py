"""Socket activation and notification, with this process as the service manager."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.raw_client import Connect, request
from support.server_process import PACKAGE_ROOT, ServerProcess
from support.service_manager import activated
from support.waiting import DEADLINE

from threadserve.listening import systemd

APP = "examples.hello:app"
PATH = [str(PACKAGE_ROOT), str(PACKAGE_ROOT / "tests")]


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The service manager's end of the notifications."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind("notify.sock")
        bound.settimeout(3 * DEADLINE)
        yield bound


@pytest.mark.parametrize("options", [["--threads", "1"], ["--threads", "2"], ["--workers", "2"], ["--reload"]])
def test_readiness_and_the_end_are_told(manager: socket.socket, tmp_path: Path, options: list[str]) -> None:
    with ServerProcess(APP, *options, env={"NOTIFY_SOCKET": "notify.sock"}, cwd=tmp_path) as server:
        assert manager.recv(100) == b"READY=1"
        assert httpx.get(server.url, timeout=DEADLINE).status_code == 200
        assert server.stop() == 0
    assert manager.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("options", [["--threads", "2"], ["--workers", "2"], ["--reload"]])
def test_the_watchdog_is_kept_quiet(manager: socket.socket, tmp_path: Path, options: list[str]) -> None:
    variables = {"NOTIFY_SOCKET": "notify.sock", "WATCHDOG_USEC": "3000000"}
    server = ServerProcess(APP, *options, env=variables, cwd=tmp_path)
    # Read from the beginning, for what finds the socket full is lost.
    server.start(wait=False)
    try:
        while manager.recv(100) != b"READY=1":
            pass
        assert [manager.recv(100) for _ in range(2)] == [b"WATCHDOG=1"] * 2
        assert server.stop() == 0
    finally:
        server.kill()


def test_the_watchdog_hears_nothing_of_blocked_loops(manager: socket.socket, tmp_path: Path, connect: Connect) -> None:
    variables = {"NOTIFY_SOCKET": "notify.sock", "WATCHDOG_USEC": "3000000", "PYTHONPATH": os.pathsep.join(PATH)}
    with ServerProcess("support.steered_app:app", "--threads", "1", env=variables, cwd=tmp_path) as server:
        client = connect(server)
        client.send(request(target="/block"))
        server.wait_for_line("blocking", "stdout")
        manager.settimeout(3)
        with pytest.raises(TimeoutError):
            list(map(manager.recv, [100] * 30))


def test_an_abstract_address(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"threadserve-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(DEADLINE)
        systemd.notify("READY=1", "STATUS=well")
        assert manager.recv(100) == b"READY=1\nSTATUS=well"


def test_a_manager_that_is_gone_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify.sock")
    systemd.notify("READY=1")


@pytest.mark.parametrize(
    ("owner", "count", "descriptors"),
    [("self", "2", [3, 4]), ("other", "2", []), ("self", "", []), ("self", "x", []), ("", "2", [])],
)
def test_whose_descriptors_they_are(
    monkeypatch: pytest.MonkeyPatch, owner: str, count: str, descriptors: list[int]
) -> None:
    monkeypatch.setenv("LISTEN_PID", {"self": str(os.getpid()), "other": "1", "": ""}[owner])
    monkeypatch.setenv("LISTEN_FDS", count)
    assert list(systemd.get_passed_descriptors()) == descriptors


def test_a_server_is_activated_and_its_successor_gets_the_queue(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for _ in range(2):
            # Connected before there is a server, and answered by it.
            with socket.create_connection(("127.0.0.1", port), timeout=3 * DEADLINE) as early:
                early.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                server = subprocess.Popen(
                    activated(listener, APP, "--port", "1"),
                    pass_fds=[listener.fileno()],
                    env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                try:
                    assert early.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
                finally:
                    server.terminate()
                    assert server.wait(DEADLINE) == 0
