"""systemd's units: their limits fit, and their commands do under a service manager what the units expect."""

import configparser
import re
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from support.deployment import DEPLOYMENT, CommandLine, wait_for_status
from support.programs import needs_program
from support.server_process import ServerProcess
from support.service_manager import Notifications, activated, notifications
from support.waiting import DEADLINE, wait_until

from loadtests.servers.ports import free_port

APP = "examples.hello:app"
SERVICES = ["threadserve.service", "threadserve-plain.service"]
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
# Within so many microseconds a sign of life is wanted.
WATCHDOG_USEC = "3000000"


def read_unit(name: str) -> configparser.ConfigParser:
    """A unit by its sections, with continued lines joined."""
    unit = configparser.ConfigParser(interpolation=None, delimiters=["="], comment_prefixes=["#", ";"])
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read_string(re.sub(r"\\\n\s*", " ", (DEPLOYMENT / "systemd" / name).read_text()))
    return unit


def command_of(name: str) -> CommandLine:
    """The command line that a service starts."""
    return CommandLine(shlex.split(read_unit(name)["Service"]["ExecStart"]))


@contextmanager
def activated_server(listener: socket.socket, notified: Notifications, *options: str) -> Iterator[ServerProcess]:
    """The server of the unit with a socket, as systemd starts it; it serves."""
    server = ServerProcess(APP, env={**notified.variables, "WATCHDOG_USEC": WATCHDOG_USEC})
    server.command = activated(listener, APP, *options)
    server.pass_fds = [listener.fileno()]
    server.start(wait=False)
    try:
        notified.wait_for("READY=1")
        yield server
    finally:
        server.kill()


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd listens on for the unit with a socket, `app.sock` in the working directory."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("app.sock")
        listening.listen()
        yield listening


@pytest.fixture
def notified() -> Iterator[Notifications]:
    """What the service tells systemd."""
    with notifications() as told:
        yield told


@needs_program("systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = shutil.which("true")
    for unit in (DEPLOYMENT / "systemd").iterdir():
        # Of all that the units name, only the program has to be there.
        text = unit.read_text().replace(command_of(SERVICES[0]).program, str(program))
        (tmp_path / unit.name).write_text(text)
    command: list[str | Path] = ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * DEADLINE, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_the_limits_fit_the_options(name: str) -> None:
    service = read_unit(name)["Service"]
    assert float(service["TimeoutStopSec"]) >= command_of(name).seconds_to_stop()
    assert (service["Type"], service["KillMode"], service["Restart"]) == ("notify", "mixed", "always")


def test_the_service_names_no_address_beside_its_socket() -> None:
    assert not {"--bind", "--host", "--port", "--uds", "--fd"} & command_of(SERVICES[0]).options.keys()
    unit = read_unit(SERVICES[0])["Unit"]
    assert unit["Requires"] == "threadserve.socket"
    assert "threadserve.socket" in unit["After"].split()


def reload(name: str, server: ServerProcess) -> None:
    """Does what `systemctl reload` does."""
    command = read_unit(name)["Service"]["ExecReload"].replace("$MAINPID", str(server.pid))
    subprocess.run(shlex.split(command), check=True, timeout=DEADLINE)


def test_the_service_with_a_socket(listener: socket.socket, notified: Notifications) -> None:
    port = free_port()
    options = command_of(SERVICES[0]).words({"--admin-bind": f"127.0.0.1:{port}"})
    with activated_server(listener, notified, *options) as server:
        with httpx.Client(transport=httpx.HTTPTransport(uds="app.sock"), timeout=DEADLINE) as client:
            assert client.get("http://app/").status_code == 200
        wait_for_status(f"http://127.0.0.1:{port}/readyz", 200, server)
        notified.wait_for("WATCHDOG=1")
        reload(SERVICES[0], server)
        server.wait_for_line("Received SIGHUP")
        assert server.stop() == 0
    notified.wait_for("STOPPING=1")
    # It is systemd's, and the next one's.
    assert Path("app.sock").is_socket()


def test_a_restart_loses_no_connection_that_waits_in_the_socket(
    listener: socket.socket, notified: Notifications
) -> None:
    options = command_of(SERVICES[0]).words({"--admin-bind": f"127.0.0.1:{free_port()}"})
    with activated_server(listener, notified, *options) as server:
        assert server.stop() == 0
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    try:
        for client in waiting:
            client.settimeout(3 * DEADLINE)
            client.connect("app.sock")
            client.sendall(REQUEST)
        with activated_server(listener, notified, *options):
            heads = [client.makefile("rb").readline() for client in waiting]
    finally:
        for client in waiting:
            client.close()
    assert heads == [b"HTTP/1.1 200 OK\r\n"] * len(waiting)


def wait_for_answers(answers: list[int], count: int) -> None:
    """Waits until so many requests have been answered."""
    wait_until(lambda: len(answers) >= count, f"{count} answers")


def test_a_restart_loses_no_request(listener: socket.socket, notified: Notifications) -> None:
    options = command_of(SERVICES[0]).words({"--admin-bind": f"127.0.0.1:{free_port()}"})
    answers: list[int] = []
    is_over = threading.Event()

    def ask_on_new_connections() -> None:
        while not is_over.is_set():
            transport = httpx.HTTPTransport(uds="app.sock")
            with httpx.Client(transport=transport, timeout=3 * DEADLINE) as client:
                answers.append(client.get("http://app/").status_code)

    with ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(ask_on_new_connections) for _ in range(4)]
        try:
            for _ in range(3):
                with activated_server(listener, notified, *options) as server:
                    wait_for_answers(answers, len(answers) + 20)
                    assert server.stop() == 0
            with activated_server(listener, notified, *options):
                is_over.set()
                for each in asking:
                    each.result()
        finally:
            is_over.set()
    assert set(answers) == {200}


def test_the_plain_service(notified: Notifications) -> None:
    port, admin_port = free_port(), free_port()
    changes = {
        "--bind": f"127.0.0.1:{port}",
        "--admin-bind": f"127.0.0.1:{admin_port}",
        # It is the same delay, and nobody has to wait for it.
        "--shutdown-delay": "0.2",
    }
    variables = {**notified.variables, "WATCHDOG_USEC": WATCHDOG_USEC}
    server = ServerProcess(APP, *command_of(SERVICES[1]).words(changes), env=variables)
    server.start(wait=False)
    try:
        notified.wait_for("READY=1")
        wait_for_status(f"http://127.0.0.1:{port}/", 200, server)
        wait_for_status(f"http://127.0.0.1:{admin_port}/readyz", 200, server)
        notified.wait_for("WATCHDOG=1")
        reload(SERVICES[1], server)
        # Which workers serve is the supervisor's to know: it is ready again once they are new ones.
        assert any(told.startswith("RELOADING=1\n") for told in notified.wait_for("READY=1"))
        wait_for_status(f"http://127.0.0.1:{port}/", 200, server)
        assert server.stop() == 0
    finally:
        server.kill()
    notified.wait_for("STOPPING=1")
