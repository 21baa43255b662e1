"""Runs Locust with one of our user classes and reads the samples that our locustfile writes.

It runs in the interpreter that runs the load tests, and never inside their process: it patches the standard library.
"""

import csv
import importlib.metadata
import importlib.util
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from loadtests.errors import LoadTestError
from loadtests.generators.process import PATIENCE
from loadtests.generators.result import LoadResult, percentiles_of
from loadtests.process_groups import process_group
from loadtests.servers.interpreters import ROOT, environment
from loadtests.servers.usage import Monitor

# Locust's clock starts a little before the first request, so it runs for longer than what is measured.
MARGIN = 1


@dataclass(frozen=True)
class Users:
    """How many users of which class, whose think times are multiplied by `think_time`. `path` is for PathUser.

    `aside` is the name of requests whose latencies are left out of the percentiles and of the timeline, which is kept
    only where it is wanted.
    """

    kind: str
    count: int
    think_time: float = 1.0
    path: str = "/"
    aside: str = ""
    timeline: bool = False


@dataclass(frozen=True)
class Finished:
    """One request: when it ended, in seconds since the epoch, how many milliseconds it took, and its error or ""."""

    ended: float
    milliseconds: float
    name: str
    error: str

    @property
    def began(self) -> float:
        """In seconds since the epoch."""
        return self.ended - self.milliseconds / 1000


def parse(lines: Iterable[str]) -> list[Finished]:
    """Reads the samples, in the order of their ends; raises LoadTestError where a line is none."""
    try:
        rows = [Finished(float(ended), float(taken), name, error) for ended, taken, name, error in csv.reader(lines)]
    except (ValueError, csv.Error) as error:
        raise LoadTestError(f"Locust's samples cannot be read: {error}") from None
    return sorted(rows, key=lambda row: row.ended)


def result_of(rows: list[Finished], users: Users, warm_up: int, seconds: int, command: list[str]) -> LoadResult:
    """What happened after the warm-up, for that many seconds; raises LoadTestError where nothing was answered."""
    began = min((row.began for row in rows), default=0.0) + warm_up
    measured = [row for row in rows if began <= row.ended < began + seconds]
    answered = [row for row in measured if not row.error]
    told = [row for row in answered if row.name != users.aside]
    errors = Counter(row.error for row in measured if row.error)
    if not told:
        raise LoadTestError(f"Locust got no good answer: {dict(errors.most_common(1)) or 'and no error either'}")
    return LoadResult(
        command=command,
        requests=len(answered),
        seconds=seconds,
        percentiles=percentiles_of([row.milliseconds for row in told]),
        errors=dict(errors),
        timeline=[(round(row.ended - began, 3), row.milliseconds) for row in told] if users.timeline else [],
        by_name=medians(answered),
        began=began,
    )


def medians(rows: list[Finished]) -> dict[str, float]:
    """The median of each kind of request, where there are several."""
    times: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        times[row.name].append(row.milliseconds)
    return {name: median(times[name]) for name in sorted(times)} if len(times) > 1 else {}


def command(users: Users, warm_up: int, seconds: int, port: int, samples: Path) -> list[str]:
    """The command line. All users are there when the warm-up is over."""
    numbers = ["--users", str(users.count), "--spawn-rate", f"{users.count / warm_up:g}"]
    numbers += ["--think-time", f"{users.think_time:g}"]
    times = ["--run-time", f"{warm_up + seconds + MARGIN}s"]
    quiet = ["--headless", "--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "0"]
    target = ["--host", f"http://127.0.0.1:{port}", "--path", users.path, "--samples", str(samples)]
    locustfile = str(ROOT / "loadtests/locustfile.py")
    return [sys.executable, "-m", "locust", "-f", locustfile, *quiet, *numbers, *times, *target, users.kind]


def run(users: Users, warm_up: int, seconds: int, port: int, folder: Path) -> LoadResult:
    """Warms the server on `port` up and drives it for that long; `folder` is for the samples.

    Raises LoadTestError where Locust fails or gets no answer.
    """
    samples = folder / "samples.csv"
    line = command(users, warm_up, seconds, port, samples)
    monitor = run_to_end(line, warm_up + seconds + MARGIN)
    with samples.open(newline="") as lines:
        result = result_of(parse(lines), users, warm_up, seconds, line)
    busy = monitor.cpu_seconds(result.began, result.began + result.seconds)
    return replace(result, cpu_share=busy / result.seconds)


def run_to_end(line: list[str], seconds: float) -> Monitor:
    """Runs Locust; returns what it used. Raises LoadTestError where it fails."""
    with (
        process_group() as group,
        subprocess.Popen(
            line,
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            process_group=group,
        ) as process,
    ):
        try:
            with Monitor(process.pid) as monitor:
                _, stderr = process.communicate(timeout=seconds + PATIENCE)
        except subprocess.TimeoutExpired:
            raise LoadTestError(f"Locust did not end within {seconds + PATIENCE:.0f} seconds") from None
        finally:
            process.kill()
    if process.returncode:
        raise LoadTestError(f"Locust failed: {''.join(stderr.splitlines()[-1:]) or process.returncode}")
    return monitor


def version() -> str:
    """Locust's version; raises LoadTestError where this interpreter does not have it."""
    if importlib.util.find_spec("locust") is None:
        raise LoadTestError(
            f"Locust is not installed for {sys.executable}: pip install locust, "
            "on an ordinary interpreter, for gevent has no free-threaded build"
        )
    return f"Locust {importlib.metadata.version('locust')}"
