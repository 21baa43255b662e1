"""The load: well-behaved clients of our own, Locust's users where it is installed, and clients that misbehave."""

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.clients import process
from loadtests.errors import LoadTestError
from loadtests.generators import locust
from loadtests.servers.interpreters import ROOT
from loadtests.soak.events import Failure

# Not the ChatUser, to whom a WebSocket that is closed in order is an error like any other; the steady clients chat.
LOCUST_USERS = ("JsonApiUser", "BrowserUser", "TransferUser", "EventsUser", "MixedUser")
HAS_LOCUST = importlib.util.find_spec("locust") is not None
# What a client may take to end beyond its time.
PATIENCE_SECONDS = 60.0
# In which words the clients' libraries say that a connection ended before it should.
CUT_OFF = (
    *("ConnectionResetError", "BrokenPipeError", "RemoteDisconnected", "IncompleteRead", "ConnectionClosedError"),
    *("InvalidMessage", "Incomplete response", "connection closed", "ConnectionAbortedError"),
)


@dataclass
class Load:
    """The results of all clients. `requests` counts what was answered, by who asked and what kind."""

    requests: Counter[str] = field(default_factory=Counter)
    misdeeds: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def fail(self, time: float, who: str, what: str, served_by: str = "") -> None:
        """Add a failure that a client has told."""
        is_cut_off = any(words in what for words in CUT_OFF)
        self.failures.append(Failure(time, who, what, served_by, is_cut_off))

    def take_in(self, told: str) -> None:
        """Add what our clients have printed; raise ValueError where that is no JSON."""
        result = json.loads(told)
        self.requests.update(result["requests"])
        self.misdeeds.update(result["misdeeds"])
        for failure in result["failures"]:
            self.fail(**failure)

    def take_in_locust(self, samples: Path) -> None:
        """Add what Locust has recorded of each request; raise OSError or LoadTestError where it has not."""
        with samples.open(newline="") as lines:
            for row in locust.parse(lines):
                if row.error:
                    self.fail(row.ended, f"Locust: {row.name}", row.error)
                else:
                    self.requests[f"Locust: {row.name}"] += 1


class Clients:
    """The processes that put load on one server, in a process group; what they print goes to files in `folder`."""

    def __init__(self, port: int, users: int, seconds: float, folder: Path, group: int) -> None:
        self._folder = folder
        self._was_stopped = False
        lines = {"soak": process.command("soak", port=port, users=users, seconds=seconds)}
        if HAS_LOCUST:
            lines["locust"] = locust_command(port, users, seconds, folder / "samples.csv")
        self._processes = {name: self._start(name, line, group) for name, line in lines.items()}

    def _start(self, name: str, line: Sequence[str], group: int) -> subprocess.Popen[bytes]:
        with (self._folder / name).open("wb") as output, (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(line, cwd=ROOT, stdout=output, stderr=log, process_group=group)

    @property
    def are_running(self) -> bool:
        """True while all of them put load on the server."""
        return all(process.poll() is None for process in self._processes.values())

    def stop(self) -> None:
        """Have them end early; one that has not got so far may have nothing to tell then."""
        self._was_stopped = True
        for client in self._processes.values():
            client.terminate()

    def results(self) -> Load:
        """Wait for their ends; one that does not end, or fails itself, is a failure of its own kind."""
        load = Load()
        for name, client in self._processes.items():
            try:
                client.wait(PATIENCE_SECONDS)
                if name == "locust":
                    load.take_in_locust(self._folder / "samples.csv")
                else:
                    load.take_in((self._folder / name).read_text())
            except (subprocess.TimeoutExpired, OSError, ValueError, LoadTestError) as error:
                if not self._was_stopped:
                    said = " / ".join((self._folder / f"{name}.log").read_text(errors="replace").splitlines()[-3:])
                    load.failures.append(Failure(0.0, name, f"the client failed: {error} {said}", is_cut_off=False))
        return load


def locust_command(port: int, users: int, seconds: float, samples: Path) -> list[str]:
    """Return the command line."""
    return [
        *(sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests/locustfile.py"), "--headless"),
        *("--only-summary", "--exit-code-on-error", "0", "--stop-timeout", "15", "--run-time", f"{seconds:.0f}s"),
        *("--host", f"http://127.0.0.1:{port}", "--users", str(users), "--spawn-rate", str(users)),
        *("--samples", str(samples), *LOCUST_USERS),
    ]
