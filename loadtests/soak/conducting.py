"""Conducts a soak: starts server and load, does mischief when it is due, samples, and judges.

Belongs to the main thread. Server and clients are processes that do not outlive it.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.request import Request
from loadtests.servers.commands import Build, Server, threadserve
from loadtests.servers.interpreters import Interpreter, environment
from loadtests.servers.processes import Running, serving
from loadtests.soak import flatness, idling, sampling, serverlog
from loadtests.soak.events import Event
from loadtests.soak.explaining import judge
from loadtests.soak.load import Clients, Load, under_load
from loadtests.soak.mischief import Mischief
from loadtests.soak.plan import AFTERMATH, Chore, Plan
from loadtests.soak.sampling import Sample
from loadtests.soak.verdict import Verdict

APP = "loadtests.apps.soak:app"
SAMPLE_SECONDS = 1.0
TELL_SECONDS = 10.0
# How long workers may take to let go of everything, and to be replaced.
SETTLE_SECONDS = 90.0

Tell = Callable[[str], None]


@dataclass
class Seen:
    """What a soak has shown so far; times are in seconds since the epoch."""

    began: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    load: Load = field(default_factory=Load)
    problems: list[str] = field(default_factory=list)
    was_interrupted: bool = False


def soak(plan: Plan, interpreter: Interpreter, folder: Path, tell: Tell) -> Verdict:
    """One soak; files of all processes go to `folder`, and `tell` is called with lines about how it goes on.

    Raises LoadTestError where the server does not start. SIGINT ends it early; what has been seen then is judged.
    """
    seen = Seen()
    server_folder = folder / "server"
    server_folder.mkdir()
    server = server_of(plan, interpreter, folder)
    try:
        with serving(server, interpreter.path, APP, Request(), environment(), server_folder) as running:
            Conductor(plan, running, seen, tell).conduct(folder)
        if running.stopped_by != "SIGTERM":
            seen.problems.append("the server did not end in time after SIGTERM")
    except (LoadTestError, KeyboardInterrupt) as error:
        if not seen.began:
            raise
        seen.was_interrupted = seen.was_interrupted or isinstance(error, KeyboardInterrupt)
        seen.problems += [str(error)] if str(error) else []
    return verdict(plan, seen, (server_folder / "stderr").read_text(errors="replace"))


def server_of(plan: Plan, interpreter: Interpreter, folder: Path) -> Server:
    """The server as it is started; its log configuration is written into the folder."""
    log_config = folder / "logging.json"
    log_config.write_text(json.dumps(serverlog.CONFIGURATION))
    options = ("--workers", str(plan.workers), "--log-config", str(log_config))
    build: Build = "free-threaded" if interpreter.free_threaded else "ordinary"
    # Its log is formatted by what stands in the working directory.
    server = replace(threadserve(build, plan.threads, *options, ws="auto"), installed=False)
    return replace(server, ready_line="Started server process", workers=plan.workers)


def verdict(plan: Plan, seen: Seen, log: str) -> Verdict:
    """Judges what has been seen."""
    renewals = [event.time for event in seen.events if event.kind == "renewal"]
    under_load = [sample for sample in seen.samples if sample.time < seen.began + plan.seconds]
    ended = under_load[-1].time if under_load else seen.began
    cuts = renewals if plan.renew_every else flatness.even_cuts(seen.began, ended)
    return Verdict(
        events=seen.events,
        samples=seen.samples,
        load=seen.load,
        judged=judge(seen.load.failures, serverlog.read(log), seen.events),
        trends=flatness.trends(under_load, cuts),
        problems=seen.problems,
        was_interrupted=seen.was_interrupted,
    )


class Conductor:
    """Puts a server that runs under load, and adds to `seen` what happens."""

    def __init__(self, plan: Plan, running: Running, seen: Seen, tell: Tell) -> None:
        self._plan = plan
        self._running = running
        self._seen = seen
        self._tell = tell
        self._mischief = Mischief(running.port, running.pid, self._note)

    def conduct(self, folder: Path) -> None:
        """From an idle server to an idle server."""
        before = self._calm()
        self._seen.began = time.time()
        with under_load(self._running.port, self._plan.users, self._plan.seconds, folder) as clients:
            try:
                self._go_on(clients)
            except KeyboardInterrupt:
                self._seen.was_interrupted = True
                self._say("interrupted")
            if time.time() < self._seen.began + self._plan.seconds:
                clients.stop()
            self._seen.load = clients.results()
        if not self._seen.was_interrupted:
            self._settle(before)

    def _calm(self) -> Sample:
        idling.touch(self._running.port, self._plan.loops)
        time.sleep(SAMPLE_SECONDS)
        return sampling.take(self._running.pid)

    def _go_on(self, clients: Clients) -> None:
        """Samples, and does what is due, until the load ends."""
        plan, mischief = self._plan, self._mischief
        end = self._seen.began + plan.seconds
        chores = [
            Chore(TELL_SECONDS, self._tell_usage),
            Chore(plan.renew_every, mischief.renew),
            Chore(plan.kill_thread_every, mischief.kill_thread),
            Chore(plan.kill_worker_every, mischief.kill_worker),
        ]
        while (now := time.time()) < end and clients.are_running:
            self._seen.samples.append(sampling.take(self._running.pid))
            if now < end - AFTERMATH:
                for chore in chores:
                    chore.do_if_due()
            time.sleep(max(0.0, min(now + SAMPLE_SECONDS, end) - time.time()))

    def _settle(self, before: Sample) -> None:
        self._say("the load has ended; the server is to be as idle as it was")
        after, left_over = idling.settled(self._running.pid, self._running.port, before, self._plan, SETTLE_SECONDS)
        self._seen.samples.append(after)
        self._seen.problems += left_over + idling.not_replaced(self._seen.events, after)

    def _note(self, event: Event) -> None:
        self._seen.events.append(event)
        self._say(str(event))

    def _tell_usage(self) -> bool:
        """All processes together."""
        self._say(", ".join(f"{number:.0f} {unit}" for unit, number in self._seen.samples[-1].of_all().items()))
        return True

    def _say(self, what: str) -> None:
        gone = time.time() - self._seen.began
        left = max(0.0, self._plan.seconds - gone)
        self._tell(f"{clock(gone)}, {clock(left)} left: {what}")


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"
