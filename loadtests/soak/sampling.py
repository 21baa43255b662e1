"""Samples of what the processes of a server use, their trends, and what is left over after a load.

Workers are replaced again and again, and grow while they warm up. So a run is cut into periods from one replacement to
the next, of which the first is the warm-up: medians of several can be compared, since each has all phases in it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

import psutil

from loadtests.errors import LoadTestError
from loadtests.servers import memory

SAMPLE_SECONDS = 1.0
# What the command line of a process has that multiprocessing has made.
WORKER_MARK = "--multiprocessing-fork"
SUPERVISOR, WORKER = "supervisor", "worker"
MB, DESCRIPTORS, THREADS = "MB", "descriptors", "threads"
# How much more the last third may use than the first: the share of it, and what is added to that.
TOLERANCES = {
    (SUPERVISOR, MB): (0.02, 0.5),
    (SUPERVISOR, DESCRIPTORS): (0.0, 2.0),
    (SUPERVISOR, THREADS): (0.0, 0.0),
    (WORKER, MB): (0.25, 4.0),
    (WORKER, DESCRIPTORS): (0.25, 5.0),
    (WORKER, THREADS): (0.10, 2.0),
}


@dataclass(frozen=True)
class Usage:
    """The use of one process by unit; the memory is what it does not share (USS)."""

    role: str
    used: dict[str, float]


@dataclass(frozen=True)
class Sample:
    """All processes at one time, in seconds since the epoch: the workers, and the supervisor with its helpers."""

    time: float
    processes: list[Usage]

    def __str__(self) -> str:
        return ", ".join(
            f"{sum(usage.used[unit] for usage in self.processes):.0f} {unit}" for unit in (MB, DESCRIPTORS, THREADS)
        )

    def of(self, role: str, unit: str) -> list[float]:
        """Return what each process of a role uses."""
        return [usage.used[unit] for usage in self.processes if usage.role == role]


def take(pid: int) -> Sample:
    """Look at the process and those below it; raise LoadTestError where it has ended itself."""
    usages: list[Usage] = []
    try:
        for process in memory.tree(pid):
            try:
                used = {
                    MB: process.memory_full_info().uss / memory.MEGABYTE,
                    DESCRIPTORS: process.num_fds(),
                    THREADS: process.num_threads(),
                }
                usages.append(Usage(WORKER if WORKER_MARK in process.cmdline() else SUPERVISOR, used))
            except psutil.Error:
                # It has just ended, or is a zombie.
                if process.pid == pid:
                    raise
    except psutil.Error:
        raise LoadTestError("the server ended while it was under load") from None
    return Sample(time.time(), usages)


@dataclass(frozen=True)
class Trend:
    """The use of one unit by a process of one role, first and last, and the most that the last may be."""

    role: str
    unit: str
    first: float
    last: float
    most: float

    def __str__(self) -> str:
        numbers = f"{self.first:12.1f}{self.last:12.1f}{self.most:10.1f}"
        return f"{self.role:12}{self.unit:14}{numbers}  {'flat' if self.is_flat else 'GROWS'}"

    @property
    def is_flat(self) -> bool:
        """True where the last is within the tolerance."""
        return self.last <= self.most


def trends(samples: Sequence[Sample], period: float) -> list[Trend]:
    """Return first against last third of the periods behind the warm-up; nothing where there are less than two.

    A period is in seconds, and longer than SAMPLE_SECONDS.
    """
    periods = int((samples[-1].time - samples[0].time + SAMPLE_SECONDS) / period) if samples else 0
    if periods < 3:
        return []
    third = max((periods - 1) // 3, 1)
    thirds = [
        [each for each in samples if begin * period <= each.time - samples[0].time < (begin + third) * period]
        for begin in (1, periods - third)
    ]
    found: list[Trend] = []
    for (role, unit), (share, more) in TOLERANCES.items():
        first, last = (median(fmean(sample.of(role, unit) or [0.0]) for sample in each) for each in thirds)
        found.append(Trend(role, unit, first, last, first * (1 + share) + more))
    return found


def left_over(before: Sample, after: Sample) -> list[str]:
    """Return a line on what any process of a role has more than the largest had before, and on lost workers."""
    workers, due = (len(sample.of(WORKER, THREADS)) for sample in (after, before))
    lines = [] if workers == due else [f"there are {workers} workers instead of {due}"]
    for role, unit in TOLERANCES.keys() - {(SUPERVISOR, MB), (WORKER, MB)}:
        most, has = (max(sample.of(role, unit), default=0) for sample in (before, after))
        if has > most:
            lines.append(f"a {role} has {has:.0f} {unit} with nobody connected, {most:.0f} before the load")
    return sorted(lines)
