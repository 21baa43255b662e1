"""Runs Locust with one of our user classes and reads the samples that our locustfile writes.

It runs in the interpreter that runs the load tests, and never inside their process: it patches the standard library.
"""

import csv
import importlib.metadata
import importlib.util
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.generators import process
from loadtests.generators.result import LoadResult, percentiles_of
from loadtests.servers.interpreters import ROOT, environment

# Locust's clock starts a little before the first request, so it runs for longer than what is measured.
MARGIN_SECONDS = 1


@dataclass(frozen=True)
class Users:
    """So many users of a class, whose think times are multiplied by `think_time`. `path` is for PathUser.

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
        """The moment of its start, in seconds since the epoch."""
        return self.ended - self.milliseconds / 1000


def parse(lines: Iterable[str]) -> list[Finished]:
    """Read the samples, in the order of their ends; raises LoadTestError where a line is none."""
    try:
        rows = [Finished(float(ended), float(taken), name, error) for ended, taken, name, error in csv.reader(lines)]
    except (ValueError, csv.Error) as error:
        raise LoadTestError(f"Locust's samples cannot be read: {error}") from None
    return sorted(rows, key=lambda row: row.ended)


def result_of(rows: list[Finished], users: Users, warm_up: int, seconds: int, command: list[str]) -> LoadResult:
    """Return what happened after the warm-up, for that long; raises LoadTestError where nothing was answered."""
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
        began=began,
    )


def command(kinds: Sequence[str], count: int, seconds: float, port: int, samples: Path, *options: str) -> list[str]:
    """Return the command line of so many users of these classes, with more options of Locust or of ours."""
    return [
        *(sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests/locustfile.py")),
        *("--headless", "--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "0"),
        *("--users", str(count), "--run-time", f"{seconds:.0f}s", "--host", f"http://127.0.0.1:{port}"),
        *("--samples", str(samples), *options, *kinds),
    ]


def run(users: Users, warm_up: int, seconds: int, port: int, folder: Path) -> LoadResult:
    """Warm the server on `port` up and drive it for that long; `folder` is for the samples.

    All users are there when the warm-up is over. Raises LoadTestError where Locust fails or gets no answer.
    """
    samples = folder / "samples.csv"
    options = (
        "--spawn-rate",
        f"{users.count / warm_up:g}",
        "--think-time",
        f"{users.think_time:g}",
        "--path",
        users.path,
    )
    whole = warm_up + seconds + MARGIN_SECONDS
    line = command([users.kind], users.count, whole, port, samples, *options)
    _, monitor = process.run(line, whole, name="Locust", folder=ROOT, variables=environment(), monitored=True)
    with samples.open(newline="") as lines:
        result = result_of(parse(lines), users, warm_up, seconds, line)
    assert monitor is not None
    used = monitor.cpu_at(result.began + seconds) - monitor.cpu_at(result.began)
    return replace(result, cpu_share=used / seconds)


def version() -> str:
    """Return Locust's version; raises LoadTestError where this interpreter does not have it."""
    if importlib.util.find_spec("locust") is None:
        raise LoadTestError(
            f"Locust is not installed for {sys.executable}: pip install locust, "
            "on an ordinary interpreter, for gevent has no free-threaded build"
        )
    return f"Locust {importlib.metadata.version('locust')}"
