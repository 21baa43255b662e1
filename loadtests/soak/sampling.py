"""Samples of what the processes of a server use, their trends, and what is left over after a load.

Workers are replaced again and again, and grow while they warm up. So what is between two replacements is a period, of
which the first is the warm-up, and a straight line through the others tells whether anything grows.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression

import psutil

from loadtests.errors import LoadTestError
from loadtests.servers.usage import MEGABYTE, tree

SAMPLE_SECONDS = 1.0
# What the command line of a process has that multiprocessing has made.
WORKER_MARK = "--multiprocessing-fork"
# How much more may be used in the end than at first: a share of that, and what is added. Memory is in MB.
TOLERANCES = {
    "supervisor memory": (0.02, 0.5),
    "supervisor descriptors": (0.0, 2.0),
    "supervisor threads": (0.0, 0.5),
    "worker memory": (0.25, 4.0),
    "worker descriptors": (0.25, 5.0),
    "worker threads": (0.10, 2.0),
}


@dataclass(frozen=True)
class Sample:
    """The uses of each process, in seconds since the epoch, by the names of TOLERANCES.

    The supervisor's are those of its helpers as well; the memory is what a process does not share (USS).
    """

    time: float
    uses: dict[str, list[float]]


@dataclass(frozen=True)
class Trend:
    """What processes of one kind use, first and last, and the most that the last may be."""

    name: str
    first: float
    last: float
    most: float


def take(pid: int) -> Sample:
    """Look at the process and those below it; raise LoadTestError where it has ended itself."""
    uses: dict[str, list[float]] = defaultdict(list)
    for process in tree(pid):
        try:
            role = "worker" if WORKER_MARK in process.cmdline() else "supervisor"
            used = (process.memory_full_info().uss / MEGABYTE, process.num_fds(), process.num_threads())
        except psutil.Error:
            # It has just ended, or is a zombie.
            if process.pid == pid:
                raise LoadTestError("the server ended while it was under load") from None
            continue
        for unit, amount in zip(("memory", "descriptors", "threads"), used, strict=True):
            uses[f"{role} {unit}"].append(amount)
    return Sample(time.time(), uses)


def trends(samples: Sequence[Sample], period: float) -> list[Trend]:
    """Return what is used at first and in the end of the periods behind the warm-up; nothing unless there are two.

    A period is in seconds, and longer than SAMPLE_SECONDS.
    """
    times = [sample.time - samples[0].time for sample in samples]
    if not times or times[-1] + SAMPLE_SECONDS < 3 * period:
        return []
    warm = [index for index, at in enumerate(times) if at >= period]
    found: list[Trend] = []
    for name, (share, more) in TOLERANCES.items():
        uses = [fmean(samples[index].uses.get(name, [0.0])) for index in warm]
        slope, start = linear_regression([times[index] for index in warm], uses)
        first, last = start + slope * times[warm[0]], start + slope * times[-1]
        found.append(Trend(name, first, last, first * (1 + share) + more))
    return found


def left_over(before: Sample, after: Sample) -> list[str]:
    """Return a line on what any process has more than the largest of its kind had before, and on lost workers."""
    workers, due = (len(sample.uses.get("worker threads", ())) for sample in (after, before))
    lines = [] if workers == due else [f"there are {workers} workers instead of {due}"]
    for name in ("supervisor descriptors", "supervisor threads", "worker descriptors", "worker threads"):
        has, most = (max(sample.uses.get(name, [0.0])) for sample in (after, before))
        if has > most:
            lines.append(f"{name}: {has:.0f} with nobody connected, {most:.0f} before the load")
    return lines
