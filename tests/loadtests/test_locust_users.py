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
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from support.server_process import PACKAGE_ROOT, ServerProcess
from support.waiting import DEADLINE, wait_until

from loadtests.servers.processes import free_port

if find_spec("locust") is None:
    pytest.skip("locust is not installed: gevent has no free-threaded build", allow_module_level=True)

# Locust takes seconds to start and to stop, and a slow machine ten times as many.
pytestmark = pytest.mark.timeout(400)
PATIENCE = 4 * DEADLINE
# A master that hears nothing of its workers for three seconds ends the test; slow ones need longer to make their users.
LOCUST = "import locust.main, locust.runners; locust.runners.HEARTBEAT_LIVENESS = 120; locust.main.main()"

JSON_API = {"/api/items", "/api/items/ID", "/api/items/ID unknown", "/api/orders", "/api/orders refused"}
STEADY = {
    *("steady: /", "steady: /api/items", "steady: /api/orders", "steady: /upload", "steady: /download"),
    *("steady: /stream", "steady: /events", "steady: /chat connect", "steady: /chat"),
}
NAMES = {
    "JsonApiUser": JSON_API,
    "BrowserUser": {"/", "/static/style.css", "/static/logo.svg"},
    "TransferUser": {"/upload", "/upload chunked", "/download", "/stream"},
    "SiteUser": {"/", "/api/items/ID", "/api/orders"},
    "MixedUser": {"/api/items/ID", "/api/items/ID on a new connection", "/block"},
    "PathUser": {"/api/items/1"},
    "EventsUser": {"/events", "/events first", "/events next"},
    "ChatUser": {"/chat connect", "/chat own message", "/chat message of another"},
    "SteadyUser": STEADY,
}
SITES = {
    "site": ("loadtests.apps.site:app", "--threads", "1"),
    "site_flask": ("loadtests.apps.site_flask:app", "--interface", "wsgi"),
    "site_django": ("loadtests.apps.site_django:app", "--interface", "wsgi"),
    "broken": ("broken_site:app", "--app-dir", str(PACKAGE_ROOT / "tests" / "loadtests" / "apps")),
}
# What is wrong with the broken site, as its users put it.
COMPLAINTS = {
    "/": "another page than expected, or a lost session",
    "/static/style.css": "3755 bytes instead of 3756",
    "/static/logo.svg": "another type than expected",
    "/api/items": "another answer than expected",
    "/api/items/ID": "status 500",
    "/api/items/ID on a new connection": "status 500",
    "/api/items/ID unknown": "status 500",
    "/api/orders": "the answer is no JSON",
    "/api/orders refused": "status 200",
    "/upload": "another answer than expected",
    "/upload chunked": "another answer than expected",
    "/download": "the answer broke off: ",
    "/stream": "7 bytes instead of ",
    "/events": "instead of event 2",
    "/block": "status 503",
    "/api/items/1": "status 500",
    "/chat own message": "the server closed the WebSocket",
    "steady: /api/items": "another answer than expected",
    "steady: /api/orders": "",
    "steady: /upload": "another answer than expected",
    "steady: /download": "IncompleteRead",
    "steady: /stream": "another answer than expected",
    "steady: /events": "another answer than expected",
    "steady: /chat": "the server closed the WebSocket with 1000",
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
    command = [sys.executable, "-c", LOCUST, "--locustfile", "loadtests/locustfile.py", *options]
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


def wait_for_counts(
    process: subprocess.Popen[bytes], folder: Path, names: set[str], column: str, least: int = 1
) -> None:
    """Waits until Locust, which writes its counts about once a second, has counted so many for each of the names."""

    def complete() -> bool:
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"ended with {process.wait(0.2)}: {(folder / 'locust.log').read_text()}")
        return names <= counted(folder, column, least)

    wait_until(complete, f"some {column} for each of {names}", PATIENCE)


def counted(folder: Path, column: str, least: int) -> set[str]:
    file = folder / "counted_stats.csv"
    if not file.exists():
        return set()
    with file.open(newline="") as lines:
        return {row["Name"] for row in csv.DictReader(lines) if int(row[column] or 0) >= least}


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
        ("site_flask", ["JsonApiUser", "BrowserUser", "TransferUser", "SiteUser"], signal.SIGTERM),
        ("site_django", ["JsonApiUser", "BrowserUser", "TransferUser", "SiteUser"], signal.SIGINT),
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
    sound = {"/", "/events first", "/chat connect", "steady: /", "steady: /chat connect"}
    assert {sample.name for sample in samples if not sample.error} == sound


def test_nobody_who_answers_counts_as_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "samples.csv"
    own = [
        "--samples",
        str(file),
        "--think-time",
        "0.1",
        "JsonApiUser",
        "EventsUser",
        "ChatUser",
        "SteadyUser",
        "ChaosUser",
    ]
    # The port is taken by somebody who does not listen, so nobody else can.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with locust(tmp_path, *headless(tmp_path, url, *own, users=5)) as process:
            wait_for_counts(
                process, tmp_path, {"/events", "/chat connect", "steady: /", "chaos: not connected"}, "Failure Count"
            )
            stop(process, signal.SIGTERM)
    samples = samples_in(file)
    assert by_name(samples) == totals(tmp_path)
    refused = "[Errno 111] Connection refused"
    named = f"ConnectionRefusedError: {refused}"
    assert {sample.error for sample in samples} == {refused, named, f"{named} []"}


def test_misdeeds_are_no_failures_of_a_server_that_lives(tmp_path: Path) -> None:
    file = tmp_path / "samples.csv"
    own = ["--samples", str(file), "--think-time", "0", "ChaosUser"]
    with (
        served("site") as server,
        locust(tmp_path, *headless(tmp_path, server.url, *own, users=20)) as process,
    ):
        wait_for_counts(process, tmp_path, {"chaos: page, vanish", "chaos: page, reset"}, "Request Count")
        stop(process, signal.SIGTERM)
    assert {sample.error for sample in samples_in(file)} == {""}
    assert all(sample.name.startswith("chaos: ") for sample in samples_in(file))


def run_apart(code: str) -> str:
    """Runs code that imports Locust; returns what it prints."""
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=PACKAGE_ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_is_as_long_as_it_says() -> None:
    """A timer that is set when Locust begins, after imports that have taken a while."""
    code = """
import time
import gevent
import loadtests.users.options
from locust import events
while time.process_time() < 0.7:
    pass
began = time.monotonic()
events.init.fire(environment=None, runner=None, web_ui=None)
gevent.spawn_later(0.3, lambda: None).join()
print(time.monotonic() - began)
"""
    assert float(run_apart(code)) > 0.29


def test_an_interrupt_reaches_no_user() -> None:
    """Out of a group's greenlet it would come twice, and the second one would end Locust before it has written all."""
    code = """
import signal
import gevent
import gevent.pool
import loadtests.users.options
from locust import events
events.init.fire(environment=None, runner=None, web_ui=None)
user = gevent.spawn(gevent.pool.Group().map, signal.raise_signal, [signal.SIGINT])
try:
    gevent.sleep(60)
except KeyboardInterrupt:
    user.join()
    print(user.successful())
"""
    assert run_apart(code) == "True\n"


def test_a_master_and_its_worker(tmp_path: Path) -> None:
    """The worker takes what it does from the master, but the place of its samples from its own command line."""
    names = {"/api/items/1", "/chat own message"}
    port, folders = str(free_port()), [tmp_path / "master", tmp_path / "worker"]
    for folder in folders:
        folder.mkdir()
    bound = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "1"]
    own = ["--samples", str(tmp_path / "none.csv"), "--path", "/api/items/1", "PathUser", "ChatUser"]
    connected = ["--worker", "--master-host", "127.0.0.1", "--master-port", port]
    with (
        served("site") as server,
        locust(folders[0], *bound, *headless(folders[0], server.url, *own, users=4)) as master,
        locust(folders[1], *connected, "--samples", str(tmp_path / "samples.csv")) as worker,
    ):
        wait_for_counts(master, folders[0], names, "Request Count")
        stop(master, signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0
    samples = samples_in(tmp_path / "samples-0.csv")
    # The master waits half a second for the last counts of its workers, which may be too little.
    assert Counter(totals(folders[0])) <= Counter(by_name(samples))
    assert names <= set(by_name(samples))
    assert {sample.error for sample in samples} == {""}
    assert {file.name for file in tmp_path.glob("*samples*")} == {"samples-0.csv"}
    assert not (tmp_path / "none.csv").exists()


def test_a_seed_repeats_the_choices(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    with served("site") as server:
        for folder in folders:
            folder.mkdir()
            own = ["--samples", str(folder / "samples.csv"), "--seed", "4", "--think-time", "0", "JsonApiUser"]
            with locust(folder, *headless(folder, server.url, *own)) as process:
                wait_for_counts(process, folder, {"Aggregated"}, "Request Count", 20)
                stop(process, signal.SIGTERM)
    first, second = ([sample.name for sample in samples_in(folder / "samples.csv")] for folder in folders)
    both = min(len(first), len(second))
    assert both > 10
    assert first[:both] == second[:both]


def test_a_bad_option_is_named_in_one_line(tmp_path: Path) -> None:
    options = ("--samples=no/such/folder.csv", "PathUser")
    with locust(tmp_path, *headless(tmp_path, "http://127.0.0.1:1", *options)) as process:
        assert process.wait(PATIENCE) in (1, 2)
    log = (tmp_path / "locust.log").read_text()
    complaint = "cannot write the samples to no/such/folder.csv: No such file or directory"
    assert complaint in log.splitlines()[-1]
    assert "Traceback" not in log


def test_bad_values_are_refused() -> None:
    code = """
import argparse
from loadtests.users.options import factor, url_path
for check, text in ((factor, "-nan"), (factor, "-1"), (factor, "inf"), (factor, "x"), (url_path, "whoami")):
    try:
        print(check(text), "is taken")
    except argparse.ArgumentTypeError as error:
        print(error)
print(factor("0.5"), url_path("/x"))
"""
    *refused, without_path, taken = run_apart(code).splitlines()
    assert refused == [f"{text!r} is no number from 0 up" for text in ("-nan", "-1", "inf", "x")]
    assert (without_path, taken) == ("'whoami' does not begin with a slash", "0.5 /x")


def test_the_web_interface_starts_and_stops_a_test(tmp_path: Path) -> None:
    """The samples are there when the test has stopped. Their file cannot be chosen in the web interface."""
    file, port = tmp_path / "samples.csv", free_port()
    web = f"http://127.0.0.1:{port}"
    form = {"user_count": "2", "spawn_rate": "10", "path": "/api/items/1", "think_time": "2", "samples": "other.csv"}
    with (
        served("site") as server,
        locust(
            tmp_path, "--web-host", "127.0.0.1", "--web-port", str(port), "--samples", str(file), "PathUser"
        ) as process,
        httpx.Client(base_url=web, timeout=3 * DEADLINE) as browser,
    ):
        wait_until(lambda: is_open(port), "the web interface", PATIENCE)
        page = browser.get("/").text
        assert all(option in page for option in ("think_time", "path"))
        assert "samples" not in page
        assert browser.post("/swarm", data={**form, "host": server.url}).json()["success"]
        wait_until(lambda: browser.get("/stats/requests").json()["total_rps"] > 0, "requests", PATIENCE)
        browser.post("/stop").raise_for_status()
        wait_until(lambda: len(samples_in(file)) > 0, "samples")
        assert {(sample.name, sample.error) for sample in samples_in(file)} == {("/api/items/1", "")}
        stop(process, signal.SIGTERM)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
