"""The course of a soak: server and load are started, mischief is done when it is due, samples are taken.

Belongs to the main thread. Server and clients are processes that do not outlive it.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.process_groups import process_group
from loadtests.request import Request
from loadtests.servers.commands import Server, threadserve
from loadtests.servers.interpreters import Interpreter, environment
from loadtests.servers.processes import Running, serving
from loadtests.soak import sampling, serverlog
from loadtests.soak.events import Event
from loadtests.soak.load import Users
from loadtests.soak.mischief import Mischief
from loadtests.soak.sampling import SAMPLE_SECONDS, WORKER, Sample
from loadtests.soak.verdict import Plan, Seen

APP = "loadtests.apps.soak:app"
# Mischief ends so long before the load does, so that its consequences are seen.
AFTERMATH_SECONDS = 3.0
# How long workers may take to let go of everything, and to be replaced.
SETTLE_SECONDS = 90.0

Tell = Callable[[str], None]


def soak(plan: Plan, interpreter: Interpreter, folder: Path, tell: Tell) -> Seen:
    """Conduct one soak; files of all processes go to `folder`, and `tell` is called with lines about how it goes on.

    Raises LoadTestError where the server does not start. SIGINT ends it early, with what has been seen then.
    """
    seen = Seen(plan)
    server_folder = folder / "server"
    server_folder.mkdir()
    server = server_of(plan, interpreter, folder)
    try:
        with serving(server, interpreter.path, APP, Request(), environment(), server_folder) as running:
            Conductor(seen, running, tell).conduct(folder)
        if running.stopped_by != "SIGTERM":
            seen.problems.append("the server did not end in time after SIGTERM")
    except (LoadTestError, KeyboardInterrupt) as error:
        if not seen.began:
            raise
        seen.was_interrupted |= isinstance(error, KeyboardInterrupt)
        seen.problems += filter(None, [str(error)])
    seen.log = serverlog.read((server_folder / "stderr").read_text(errors="replace"))
    return seen


def server_of(plan: Plan, interpreter: Interpreter, folder: Path) -> Server:
    """Return the server as it is started; its log configuration is written into the folder."""
    log_config = folder / "logging.json"
    log_config.write_text(json.dumps(serverlog.CONFIGURATION))
    options = ("--workers", str(plan.workers), "--log-config", str(log_config))
    server = threadserve(interpreter.build, plan.threads, *options, ws="auto")
    return replace(server, ready_line="Started server process", workers=plan.workers)


class Conductor:
    """The load on a server that runs, the mischief, and the samples, all of which are added to `seen`."""

    def __init__(self, seen: Seen, running: Running, tell: Tell) -> None:
        self._seen = seen
        self._plan = seen.plan
        self._running = running
        self._tell = tell
        self._mischief = Mischief(running.port, running.pid, self._note)

    def conduct(self, folder: Path) -> None:
        """Go from an idle server to an idle server."""
        seen = self._seen
        self._mischief.touch(self._plan.workers * self._plan.threads)
        time.sleep(SAMPLE_SECONDS)
        before = sampling.take(self._running.pid)
        seen.began = time.time()
        with process_group() as group:
            users = Users(self._running.port, self._plan.users, self._plan.seconds, folder, group)
            try:
                self._go_on(users)
            except KeyboardInterrupt:
                seen.was_interrupted = True
                self._say("interrupted")
            if time.time() < seen.began + self._plan.seconds:
                users.stop()
            seen.load = users.results()
        if not seen.was_interrupted:
            self._settle(before)

    def _go_on(self, users: Users) -> None:
        """Sample, and do what is due, until the load ends."""
        plan, mischief, end = self._plan, self._mischief, self._seen.began + self._plan.seconds
        chores: dict[Callable[[], bool], float] = {
            mischief.renew: plan.hup_every,
            mischief.kill_thread: plan.die_every,
            mischief.kill_worker: plan.kill_every,
        }
        due = {chore: self._seen.began + every for chore, every in chores.items() if every}
        while (now := time.time()) < end and users.are_running:
            self._seen.samples.append(sampling.take(self._running.pid))
            for chore, at in due.items():
                # One that could not be done is due at once; what was missed is not made up for.
                if at <= now < end - AFTERMATH_SECONDS and chore():
                    due[chore] = max(at + chores[chore], now)
            time.sleep(max(0.0, min(now + SAMPLE_SECONDS, end) - time.time()))

    def _settle(self, before: Sample) -> None:
        self._say("the load has ended; the server is to be as idle as it was")
        after, left_over = sampling.settled(self._running.pid, before, SETTLE_SECONDS)
        replaced = {pid for event in self._seen.events for pid in event.replaced}
        outlived = [f"worker {usage.pid} has outlived a SIGHUP" for usage in after.of(WORKER) if usage.pid in replaced]
        self._seen.problems += left_over + outlived

    def _note(self, event: Event) -> None:
        self._seen.events.append(event)
        self._say(f"{event}; {self._seen.samples[-1]} now")

    def _say(self, what: str) -> None:
        gone = time.time() - self._seen.began
        left = timedelta(seconds=round(max(0.0, self._plan.seconds - gone)))
        self._tell(f"{timedelta(seconds=round(gone))}, {left} left: {what}")
