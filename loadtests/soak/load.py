"""The load: well-behaved clients of our own, Locust's users where it is installed, and clients that misbehave."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.generators import locust
from loadtests.process_groups import process_group
from loadtests.servers.interpreters import ROOT
from loadtests.soak.events import Failure

LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"
# Not the ChatUser, to whom a WebSocket that is closed in order is an error like any other; the steady clients chat.
LOCUST_USERS = ("JsonApiUser", "BrowserUser", "TransferUser", "EventsUser", "MixedUser")
# What a client may take to end beyond its time.
PATIENCE = 60.0
# In which words the clients' libraries say that a connection ended before it should.
CUT_OFF = (
    "ConnectionResetError",
    "BrokenPipeError",
    "RemoteDisconnected",
    "IncompleteRead",
    "ConnectionClosedError",
    "InvalidMessage",
    "Incomplete response",
    "connection closed",
    "ConnectionAbortedError",
)


@dataclass
class Client:
    """A process that puts load on the server; it prints to `output` and `errors`.

    One that `was_stopped` may not have got so far as to have anything to tell.
    """

    name: str
    process: subprocess.Popen[bytes]
    output: Path
    errors: Path
    was_stopped: bool = False


@dataclass
class Load:
    """What all clients have seen in the end. `requests` counts what was answered, by who asked and what kind."""

    requests: dict[str, int] = field(default_factory=dict)
    misdeeds: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


class Clients:
    """All processes that put load on one server; files go to `folder`, and they belong to a process group."""

    def __init__(self, port: int, users: int, seconds: float, folder: Path, group: int) -> None:
        self._folder = folder
        self._group = group
        self._samples = folder / "locust.csv"
        numbers = (str(port), str(users), str(seconds))
        self._clients = [self._start(name, "-m", f"loadtests.clients.{name}", *numbers) for name in ("steady", "chaos")]
        if has_locust():
            self._clients.append(self._start("locust", *locust_arguments(port, users, seconds, self._samples)))

    def _start(self, name: str, *arguments: str) -> Client:
        output, errors = self._folder / f"{name}.json", self._folder / f"{name}.stderr"
        with output.open("wb") as stdout, errors.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, stdout=stdout, stderr=stderr, process_group=self._group
            )
        return Client(name, process, output, errors)

    @property
    def are_running(self) -> bool:
        """Whether all of them still put load on the server."""
        return all(client.process.poll() is None for client in self._clients)

    def stop(self) -> None:
        """Has them end early, with what they have seen so far."""
        for client in self._clients:
            if client.process.poll() is None:
                client.was_stopped = True
                client.process.terminate()

    def kill(self) -> None:
        """Leaves none behind."""
        for client in self._clients:
            client.process.kill()
            client.process.wait()

    def results(self) -> Load:
        """Waits for their ends; one that does not end, or fails itself, is a failure of its own kind."""
        load = Load()
        for client in self._clients:
            self._take_in(load, client)
        return load

    def _take_in(self, load: Load, client: Client) -> None:
        try:
            client.process.wait(PATIENCE)
            if client.name == "locust":
                take_in_locust(load, self._samples)
            else:
                take_in_told(load, client.name, json.loads(client.output.read_text()))
        except (subprocess.TimeoutExpired, OSError, ValueError, LoadTestError) as error:
            if not client.was_stopped:
                said = " / ".join(client.errors.read_text(errors="replace").splitlines()[-3:])
                load.failures.append(Failure(0.0, client.name, f"the client failed: {error} {said}", is_cut_off=False))


def has_locust() -> bool:
    """Whether Locust can take part; importing it would patch this process."""
    return importlib.util.find_spec("locust") is not None and LOCUSTFILE.exists()


def locust_arguments(port: int, users: int, seconds: float, samples: Path) -> list[str]:
    """Everything behind the interpreter."""
    return [
        *("-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", "--exit-code-on-error", "0"),
        *("--host", f"http://127.0.0.1:{port}", "--users", str(users), "--spawn-rate", str(users)),
        *("--run-time", f"{seconds:.0f}s", "--stop-timeout", "15", "--samples", str(samples), *LOCUST_USERS),
    ]


def take_in_told(load: Load, name: str, told: dict[str, Any]) -> None:
    """Adds what a client of ours has printed."""
    load.requests |= {f"{name}: {kind}": count for kind, count in told.get("answered", {}).items()}
    load.misdeeds |= told.get("misdeeds", {})
    for failure in told.get("failures", ()):
        who, what = f"{name}: {failure['kind']}", failure["error"]
        load.failures.append(Failure(failure["time"], who, what, failure["served_by"], is_cut_off(what)))
    for refused in told.get("refused", ()):
        load.failures.append(Failure(refused["time"], name, refused["error"], is_cut_off=False))


def is_cut_off(error: str) -> bool:
    return any(words in error for words in CUT_OFF)


def take_in_locust(load: Load, samples: Path) -> None:
    """Adds what Locust has recorded of each request."""
    with samples.open(newline="") as lines:
        for row in locust.parse(lines):
            who = f"Locust: {row.name}"
            if row.error:
                load.failures.append(Failure(row.ended, who, row.error, is_cut_off=is_cut_off(row.error)))
            else:
                load.requests[who] = load.requests.get(who, 0) + 1


@contextmanager
def under_load(port: int, users: int, seconds: float, folder: Path) -> Iterator[Clients]:
    """Clients for the length of a `with` block, which leaves none behind."""
    with process_group() as group:
        clients = Clients(port, users, seconds, folder, group)
        try:
            yield clients
        finally:
            clients.kill()
