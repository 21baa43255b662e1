"""The course of a soak: server and load are started, mischief is done when it is due, samples are taken.

Belongs to the main thread. Server and clients are processes that do not outlive it.
"""

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.request import urlopen

from loadtests.errors import LoadTestError
from loadtests.generators import locust
from loadtests.process_groups import process_group
from loadtests.request import Request
from loadtests.servers.commands import threadserve
from loadtests.servers.interpreters import ROOT, Interpreter, environment
from loadtests.servers.processes import Running, serving, tail
from loadtests.soak import failures, sampling
from loadtests.soak.failures import RENEWAL, THREAD, WORKER, Event
from loadtests.soak.sampling import SAMPLE_SECONDS
from loadtests.soak.verdict import Plan, Seen

APP = "loadtests.apps.soak:app"
USERS = ["JsonApiUser", "BrowserUser", "TransferUser", "EventsUser", "ChatUser", "MixedUser", "SteadyUser", "ChaosUser"]
# What is asked of the application for a death.
PATHS = {THREAD: "/die", WORKER: "/kill"}
# Mischief ends so long before the load does, so that its consequences are seen.
AFTERMATH_SECONDS = 3.0
# How long workers may take to let go of everything, and to be replaced; how long Locust may take to end.
SETTLE_SECONDS, PATIENCE_SECONDS = 90.0, 60.0
CONNECTIONS_PER_LOOP = 20


def soak(plan: Plan, interpreter: Interpreter, folder: Path, tell: Callable[[str], None]) -> Seen:
    """Conduct one soak; files of all processes go to `folder`, and `tell` is called with lines about how it goes on.

    Raises LoadTestError where the server does not start. SIGINT ends it early, with what has been seen then.
    """
    seen = Seen(plan)
    log_config, log = folder / "logging.json", folder / "stderr"
    log_config.write_text(json.dumps(failures.LOG_CONFIGURATION))
    options = ("--workers", str(plan.workers), "--log-config", str(log_config))
    server = threadserve(interpreter.build, plan.threads, *options, ws="auto")
    server = replace(server, ready_line="Started server process", workers=plan.workers)
    try:
        with serving(server, interpreter.path, APP, Request(), environment(), folder) as running:
            Conductor(seen, running, tell).conduct(folder)
        if running.stopped_by != "SIGTERM":
            seen.problems.append("the server did not end in time after SIGTERM")
    except (LoadTestError, KeyboardInterrupt) as error:
        if not seen.began:
            raise
        seen.was_interrupted = isinstance(error, KeyboardInterrupt)
        seen.problems += filter(None, [str(error)])
    seen.failures += failures.logged(log.read_text(errors="replace"))
    return seen


class Conductor:
    """The load on a server that runs, the mischief, and the samples, all of which are added to `seen`."""

    def __init__(self, seen: Seen, running: Running, tell: Callable[[str], None]) -> None:
        self._seen, self._plan, self._tell = seen, seen.plan, tell
        self._pid, self._port = running.pid, running.port

    def conduct(self, folder: Path) -> None:
        """Go from an idle server to an idle server."""
        # An answer that nobody reads keeps its thread busy, so that each gets one and opens what it keeps then.
        url = f"http://127.0.0.1:{self._port}/download?bytes=10000000"
        for answer in [urlopen(url) for _ in range(self._plan.workers * self._plan.threads * CONNECTIONS_PER_LOOP)]:
            answer.close()
        time.sleep(SAMPLE_SECONDS)
        before = sampling.take(self._pid)
        self._seen.began = time.time()
        samples, log, users = folder / "samples.csv", folder / "locust.log", 3 * self._plan.users
        options = ("--spawn-rate", str(users), "--stop-timeout", "15")
        line = locust.command(USERS, users, self._plan.seconds + PATIENCE_SECONDS, self._port, samples, *options)
        with process_group() as group, log.open("wb") as file:
            load = subprocess.Popen(line, cwd=ROOT, env=environment(), stdout=file, stderr=file, process_group=group)
            try:
                self._go_on(load)
                if load.poll() is not None:
                    self._seen.problems.append(f"Locust ended early: {tail(log)}")
            finally:
                load.terminate()
                with suppress(subprocess.TimeoutExpired):
                    load.wait(PATIENCE_SECONDS)
                self._seen.take_in(locust.parse(samples.read_text().splitlines() if samples.exists() else ()))
        self._tell("the load has ended; the server is to be as idle as it was")
        deadline = time.monotonic() + SETTLE_SECONDS
        while (lines := sampling.left_over(before, sampling.take(self._pid))) and time.monotonic() < deadline:
            time.sleep(SAMPLE_SECONDS)
        self._seen.problems += lines

    def _go_on(self, load: subprocess.Popen[bytes]) -> None:
        """Sample, and do what is due, until the load ends."""
        end = self._seen.began + self._plan.seconds
        intervals = {RENEWAL: self._plan.hup_every, THREAD: self._plan.die_every, WORKER: self._plan.kill_every}
        due = {kind: self._seen.began + every for kind, every in intervals.items() if every}
        while (now := time.time()) < end and load.poll() is None:
            self._seen.samples.append(sampling.take(self._pid))
            for kind, at in due.items():
                # One that could not be done is due at once; what was missed is not made up for.
                if at <= now < end - AFTERMATH_SECONDS and self._do(kind):
                    due[kind] = max(at + intervals[kind], now)
                    self._seen.events.append(Event(now, kind))
                    self._tell(f"{timedelta(seconds=round(now - self._seen.began))}: {kind}")
            time.sleep(max(0.0, min(now + SAMPLE_SECONDS, end) - time.time()))

    def _do(self, kind: str) -> bool:
        """Replace all workers, or end the thread or the process that answers; return False where it still answers."""
        if kind == RENEWAL:
            os.kill(self._pid, signal.SIGHUP)
            return True
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_SECONDS)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            connection.request("GET", PATHS[kind])
            connection.getresponse()
            return False
        return True
