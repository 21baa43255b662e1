"""The load: Locust's users, of whom a third each are ordinary, steady, and misbehave.

Belongs to the thread that conducts the soak.
"""

import json
import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.generators import locust
from loadtests.servers.interpreters import ROOT, environment
from loadtests.soak.events import Failure

# Not the ChatUser, to whom a WebSocket that is closed in order is an error like any other; the SteadyUser chats.
ORDINARY = ("JsonApiUser", "BrowserUser", "TransferUser", "EventsUser", "MixedUser")
OTHERS = ("SteadyUser", "ChaosUser")
# What Locust may take to start, and to end beyond its time.
PATIENCE_SECONDS = 60.0
# In which words the clients' libraries say that a connection ended before it should.
CUT_OFF = (
    *("ConnectionResetError", "BrokenPipeError", "RemoteDisconnected", "IncompleteRead", "ConnectionAbortedError"),
    *("WebSocketConnectionClosedException", "Incomplete response", "connection closed"),
)
# The end of a SteadyUser's error.
SERVED_BY = re.compile(r" \[(\d+ \S+|)\]$")


@dataclass
class Load:
    """The results of all users. `requests` counts what was answered, by who asked and what kind."""

    requests: Counter[str] = field(default_factory=Counter)
    misdeeds: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def take_in(self, samples: Path) -> None:
        """Add what Locust has recorded of each request; raise OSError or LoadTestError where it has not."""
        with samples.open(newline="") as lines:
            for row in locust.parse(lines):
                who = row.name if row.name.startswith(("steady: ", "chaos: ")) else f"Locust: {row.name}"
                if row.error:
                    served_by = found[1] if (found := SERVED_BY.search(row.error)) else ""
                    what, is_cut_off = SERVED_BY.sub("", row.error), any(words in row.error for words in CUT_OFF)
                    self.failures.append(Failure(row.ended, who, what, served_by, is_cut_off))
                else:
                    (self.misdeeds if who.startswith("chaos: ") else self.requests)[who] += 1


class Users:
    """Locust as it puts load on one server, in a process group, for so many seconds; its files are in `folder`."""

    def __init__(self, port: int, users: int, seconds: float, folder: Path, group: int) -> None:
        self._samples, self._log = folder / "samples.csv", folder / "locust.log"
        self._was_stopped = False
        weights = [json.dumps({"user_class_name": name, "weight": len(ORDINARY)}) for name in OTHERS]
        options = ("--config-users", *weights, "--spawn-rate", str(3 * users), "--stop-timeout", "15")
        line = locust.command((*ORDINARY, *OTHERS), 3 * users, seconds, port, self._samples, *options)
        with self._log.open("wb") as log:
            self._locust = subprocess.Popen(
                line, cwd=ROOT, env=environment(), stdout=log, stderr=log, process_group=group
            )

    @property
    def are_running(self) -> bool:
        """True while they put load on the server."""
        return self._locust.poll() is None

    def stop(self) -> None:
        """Have them end early; if they have not begun yet, they may have nothing to tell then."""
        self._was_stopped = True
        self._locust.terminate()

    def results(self) -> Load:
        """Wait for the end; if Locust does not end, or fails itself, that is a failure of its own kind."""
        load = Load()
        try:
            self._locust.wait(PATIENCE_SECONDS)
            load.take_in(self._samples)
        except (subprocess.TimeoutExpired, OSError, LoadTestError) as error:
            if not self._was_stopped:
                said = " / ".join(self._log.read_text(errors="replace").splitlines()[-3:])
                load.failures.append(Failure(0.0, "Locust", f"it failed: {error} {said}", is_cut_off=False))
        return load
