"""Locust's users against the load-test sites, sound ones and broken ones, and the samples that are kept of it.

Locust replaces much of the standard library when it is imported, so it only ever runs in processes of its own.
"""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.programs import run_program
from support.server_process import PACKAGE_ROOT, ServerProcess
from support.waiting import DEADLINE, wait_until

if find_spec("locust") is None:
    pytest.skip("locust is not installed: gevent has no free-threaded build", allow_module_level=True)

# Locust takes seconds to start and to stop, and a slow machine ten times as many.
pytestmark = pytest.mark.timeout(400)
PATIENCE = 4 * DEADLINE

JSON_API = {"/api/items", "/api/items/ID", "/api/items/ID unknown", "/api/orders", "/api/orders refused"}
NAMES = {
    "JsonApiUser": JSON_API,
    "BrowserUser": {"/", "/static/style.css", "/static/logo.svg"},
    "TransferUser": {"/upload", "/upload chunked", "/download", "/stream"},
    "SiteUser": {"/", "/api/items/ID", "/api/orders"},
    "MixedUser": {"/api/items/ID", "/api/items/ID on a new connection", "/block"},
    "PathUser": {"/api/items/1"},
    "EventsUser": {"/events", "/events first", "/events next"},
    "ChatUser": {"/chat connect", "/chat own message", "/chat message of another"},
    "SteadyUser": set(),
}
SITES = {
    "site": ("loadtests.apps.site:app", "--threads", "1"),
    "site_flask": ("loadtests.apps.site_flask:app", "--interface", "wsgi"),
    "site_django": ("loadtests.apps.site_django:app", "--interface", "wsgi"),
    "broken": ("broken_site:app", "--app-dir", str(PACKAGE_ROOT / "tests" / "loadtests" / "apps")),
}
# What is wrong with the broken site, as its users put it.
COMPLAINTS = {
    "/": "another answer than expected",
    "/static/style.css": "another answer than expected",
    "/static/logo.svg": "another answer than expected",
    "/api/items": "another answer than expected",
    "/api/items/1": "500",
    "/api/items/ID": "status 500",
    "/api/items/ID on a new connection": "status 500",
    "/api/items/ID unknown": "status 500",
    "/api/orders": "another answer than expected",
    "/api/orders refused": "status 200",
    "/upload": "another answer than expected",
    "/upload chunked": "another answer than expected",
    "/download": "the answer broke off: ",
    "/stream": "another answer than expected",
    "/events": "instead of b'id: 2",
    "/block": "status 503",
    "/chat own message": "the server closed the WebSocket",
}


@dataclass(frozen=True)
class Sample:
    ended: float
    milliseconds: float
    name: str
    error: str


def served(site: str) -> ServerProcess:
    """A server that hangs up on nobody between two requests, however long the users take over them."""
    return ServerProcess(*SITES[site], "--no-access-log", "--timeout-keep-alive", "60", cwd=PACKAGE_ROOT)


@contextmanager
def locust(folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Locust with the locustfile; its log goes to a file in `folder`."""
    command = [sys.executable, "-m", "locust", "--locustfile", "loadtests/locustfile.py", *options]
    env = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST")}
    with (folder / "locust.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=PACKAGE_ROOT, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def headless(folder: Path, url: str, *options: str, users: int = 1) -> list[str]:
    """Options that have Locust keep all that it counts in `folder`. Those of one's own end with the classes."""
    return [
        *("--headless", "--host", url, "--users", str(users), "--spawn-rate", "100", "--exit-code-on-error", "0"),
        *("--csv", str(folder / "counted"), "--json-file", str(folder / "totals"), *options),
    ]


def wait_for_counts(process: subprocess.Popen[bytes], folder: Path, names: set[str], column: str) -> None:
    """Waits until Locust, which writes its counts about once a second, has counted one for each of the names."""

    def complete() -> bool:
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"ended with {process.wait(0.2)}: {(folder / 'locust.log').read_text()}")
        return names <= counted(folder, column)

    wait_until(complete, f"some {column} for each of {names}", PATIENCE)


def counted(folder: Path, column: str) -> set[str]:
    file = folder / "counted_stats.csv"
    if not file.exists():
        return set()
    with file.open(newline="") as lines:
        return {row["Name"] for row in csv.DictReader(lines) if int(row[column] or 0)}


def stop(process: subprocess.Popen[bytes], number: int) -> None:
    process.send_signal(number)
    assert process.wait(PATIENCE) == 0


def samples_in(file: Path) -> list[Sample]:
    with file.open(newline="") as lines:
        return [Sample(float(ended), float(taken), name, error) for ended, taken, name, error in csv.reader(lines)]


def totals(folder: Path) -> dict[str, int]:
    """How many requests Locust has counted in the end, by their names."""
    return {row["name"]: row["num_requests"] for row in json.loads((folder / "totals.json").read_text())}


def by_name(samples: list[Sample]) -> dict[str, int]:
    return dict(Counter(sample.name for sample in samples))


@pytest.mark.parametrize(
    ("site", "users", "number"),
    [
        ("site", [*NAMES], signal.SIGINT),
        ("site_flask", ["SiteUser"], signal.SIGTERM),
        ("site_django", ["SiteUser"], signal.SIGINT),
    ],
)
def test_users_are_content_with_a_sound_site(site: str, users: list[str], number: int, tmp_path: Path) -> None:
    """No sample is lost, whichever signal ends Locust."""
    file, names = tmp_path / "samples.csv", set().union(*(NAMES[user] for user in users))
    own = ["--samples", str(file), "--think-time", "0.1", "--path", "/api/items/1", *users]
    began = time.time()
    with (
        served(site) as server,
        locust(tmp_path, *headless(tmp_path, server.url, *own, users=3 * len(users))) as process,
    ):
        wait_for_counts(process, tmp_path, names, "Request Count")
        stop(process, number)
    samples = samples_in(file)
    assert {sample.error for sample in samples} == {""}
    assert by_name(samples) == totals(tmp_path)
    assert set(by_name(samples)) == names
    assert [sample.ended for sample in samples] == sorted(sample.ended for sample in samples)
    assert began < samples[0].ended <= samples[-1].ended < time.time()
    assert all(0 < sample.milliseconds < 1000 * (time.time() - began) for sample in samples)


def test_every_fault_of_a_site_counts_as_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "samples.csv"
    own = ["--samples", str(file), "--think-time", "0.1", "--path", "/api/items/1", *NAMES]
    with (
        served("broken") as server,
        locust(tmp_path, *headless(tmp_path, server.url, *own, users=3 * len(NAMES))) as process,
    ):
        wait_for_counts(process, tmp_path, set(COMPLAINTS), "Failure Count")
        stop(process, signal.SIGTERM)
    samples = samples_in(file)
    assert by_name(samples) == totals(tmp_path)
    failed = {(sample.name, sample.error) for sample in samples if sample.error}
    assert {name for name, _ in failed} == set(COMPLAINTS)
    assert [(name, error) for name, error in failed if COMPLAINTS[name] not in error] == []
    sound = {"/", "/events first", "/chat connect"}
    assert {sample.name for sample in samples if not sample.error} == sound


def test_nobody_who_answers_counts_as_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "samples.csv"
    users = ["JsonApiUser", "EventsUser", "ChatUser", "SteadyUser", "ChaosUser"]
    own = ["--samples", str(file), "--think-time", "0.1", *users]
    # The port is taken by somebody who does not listen, so nobody else can.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with locust(tmp_path, *headless(tmp_path, url, *own, users=20)) as process:
            wait_for_counts(process, tmp_path, {"/events", "/chat connect", "chaos: page, reset"}, "Failure Count")
            stop(process, signal.SIGTERM)
    samples = samples_in(file)
    assert by_name(samples) == totals(tmp_path)
    assert {sample.error for sample in samples} == {"[Errno 111] Connection refused"}


def test_a_run_is_as_long_as_it_says() -> None:
    """A timer that is set when Locust begins, after imports that have taken a while."""
    code = """
import threading
import time
import gevent
import loadtests.locustfile
from locust import events
from locust.env import Environment
while time.process_time() < 0.7:
    pass
began = time.monotonic()
events.init.fire(environment=Environment(), runner=None, web_ui=None)
gevent.spawn_later(0.3, lambda: None).join()
print(time.monotonic() - began)
"""
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=PACKAGE_ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert float(done.stdout or 0) > 0.29, done.stderr


def close_on_the_second_request(listener: socket.socket) -> None:
    """Answers the first request of each connection, and none after it."""
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b""):
                    if connection.recv(65536):
                        connection.sendall(answer)


def test_a_lost_request_of_a_steady_user_is_not_repeated() -> None:
    program = """
import sys
from loadtests.users.soak import OneTryPool

client = OneTryPool().get_client(sys.argv[1])
print(client.get("/").read())
try:
    print(client.get("/").read())
except Exception as error:
    print(type(error).__name__)
"""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=close_on_the_second_request, args=[listener], daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        told = run_program(sys.executable, "-c", program, url)
        listener.shutdown(socket.SHUT_RDWR)
    assert told.splitlines() == ["b'ok'", "HTTPConnectionClosed"]
