"""Runs Locust with one of our user classes and reads the samples that our locustfile writes.

It runs in the interpreter that runs the load tests, and never inside their process: it patches the standard library.
"""

import csv
import importlib.metadata
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from loadtests.errors import LoadTestError, require
from loadtests.generators import process
from loadtests.generators.result import LoadResult, percentiles_of
from loadtests.harness.measurement import Subject
from loadtests.servers.interpreters import ROOT, environment

# Locust's clock starts a little before the first request, so it runs for longer than what is measured.
MARGIN_SECONDS = 1


class Finished(NamedTuple):
    """One request: when it ended, in seconds since the epoch, how many milliseconds it took, and its error or ""."""

    ended: float
    milliseconds: float
    name: str
    error: str


def parse(lines: Iterable[str]) -> list[Finished]:
    """Read the samples, in the order of their ends."""
    return sorted(Finished(float(ended), float(taken), name, error) for ended, taken, name, error in csv.reader(lines))


def result_of(rows: list[Finished], aside: str, warm_up: int, seconds: int, command: list[str]) -> LoadResult:
    """Return what happened after the warm-up, for that long; raises LoadTestError where nothing was answered.

    `aside` is the name of requests whose latencies are left out of the percentiles.
    """
    began = min((row.ended - row.milliseconds / 1000 for row in rows), default=0.0) + warm_up
    measured = [row for row in rows if began <= row.ended < began + seconds]
    answered = [row for row in measured if not row.error]
    times = [row.milliseconds for row in answered if row.name != aside]
    errors = Counter(row.error for row in measured if row.error)
    require(times, f"Locust got no good answer: {dict(errors.most_common(1)) or 'and no error either'}")
    return LoadResult(command, len(answered), seconds, percentiles_of(times), dict(errors), began=began)


def command(kinds: Sequence[str], count: int, seconds: float, port: int, samples: Path, *options: str) -> list[str]:
    """Return the command line of so many users of these classes, with more options of Locust or of ours."""
    return [
        *(sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests/locustfile.py")),
        *("--headless", "--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "0"),
        *("--users", str(count), "--run-time", f"{seconds:.0f}s", "--host", f"http://127.0.0.1:{port}"),
        *("--samples", str(samples), *options, *kinds),
    ]


def run(subject: Subject, kind: str, aside: str = "") -> LoadResult:
    """Warm the server up by users of a class, who are all there then, and measure; `aside` is as in `result_of`.

    Raises LoadTestError where Locust fails or gets no answer.
    """
    effort, samples = subject.effort, subject.folder / "samples.csv"
    whole = effort.warm_up + effort.duration + MARGIN_SECONDS
    options = (f"--spawn-rate={effort.users / effort.warm_up:g}", f"--think-time={effort.think_time:g}")
    path = f"--path={subject.request.path}"
    line = command([kind], effort.users, whole, subject.running.port, samples, *options, path)
    before = os.times()
    process.run(line, whole, name="Locust", folder=ROOT, variables=environment())
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    with samples.open(newline="") as lines:
        result = result_of(parse(lines), aside, effort.warm_up, effort.duration, line)
    return replace(result, cpu_share=used / (after.elapsed - before.elapsed))


def version() -> str:
    """Return Locust's version; raises LoadTestError where this interpreter does not have it."""
    try:
        return f"Locust {importlib.metadata.version('locust')}"
    except importlib.metadata.PackageNotFoundError:
        raise LoadTestError(f"Locust is not installed for {sys.executable}: see loadtests/README.md") from None
