"""Samples of what the processes of a server use, and the comparison of an idle server before and after a load."""

import time
from dataclasses import dataclass
from statistics import fmean

import psutil

from loadtests.errors import LoadTestError
from loadtests.servers import memory

SAMPLE_SECONDS = 1.0
# What the command line of a process has that multiprocessing has made.
WORKER_MARK = "--multiprocessing-fork"
SUPERVISOR, WORKER = "supervisor", "worker"
UNITS = (MB, *KEPT) = ("MB", "descriptors", "threads")

# What is used, by its unit; the memory is that of a process alone (USS).
Used = dict[str, float]


@dataclass(frozen=True)
class Usage:
    """The use of one process."""

    pid: int
    role: str
    used: Used


@dataclass(frozen=True)
class Sample:
    """All processes at one time, in seconds since the epoch."""

    time: float
    processes: tuple[Usage, ...]

    def __str__(self) -> str:
        return ", ".join(f"{self.total(unit):.0f} {unit}" for unit in UNITS)

    def of(self, role: str) -> list[Usage]:
        """Return the supervisor with its helpers, or the workers."""
        return [usage for usage in self.processes if usage.role == role]

    def total(self, unit: str) -> float:
        """Return what all processes use together."""
        return sum(usage.used[unit] for usage in self.processes)

    def typical(self, role: str) -> Used:
        """Return what a worker uses on average, or the supervisor with its helpers; 0 where there are none."""
        used = [usage.used for usage in self.of(role)] or [dict.fromkeys(UNITS, 0.0)]
        combine = fmean if role == WORKER else sum
        return {unit: combine(each[unit] for each in used) for unit in UNITS}


def take(pid: int) -> Sample:
    """Look at the process and those below it; raise LoadTestError where it has ended itself."""
    usages: list[Usage] = []
    for process in memory.tree(pid):
        try:
            used = (process.memory_full_info().uss / memory.MEGABYTE, process.num_fds(), process.num_threads())
            role = WORKER if WORKER_MARK in process.cmdline() else SUPERVISOR
            usages.append(Usage(process.pid, role, dict(zip(UNITS, used, strict=True))))
        except psutil.Error:
            # It has just ended, or is a zombie.
            continue
    if pid not in [usage.pid for usage in usages]:
        raise LoadTestError("the server ended while it was under load")
    return Sample(time.time(), tuple(usages))


def left_over(before: Sample, after: Sample) -> list[str]:
    """Return a line on what each process has more than the largest of its role had before, and on lost workers."""
    workers, due = len(after.of(WORKER)), len(before.of(WORKER))
    lines = [] if workers == due else [f"there are {workers} workers instead of {due}"]
    for usage in after.processes:
        for unit in KEPT:
            most = max((each.used[unit] for each in before.of(usage.role)), default=0)
            if usage.used[unit] > most:
                has = f"{usage.role} {usage.pid} has {usage.used[unit]:.0f} {unit} with nobody connected"
                lines.append(f"{has}, before the load there were at most {most:.0f}")
    return lines


def settled(pid: int, before: Sample, seconds: float) -> tuple[Sample, list[str]]:
    """Wait until nothing is left over, so long at most; return what there is then, and what is left over."""
    deadline = time.monotonic() + seconds
    while (lines := left_over(before, after := take(pid))) and time.monotonic() < deadline:
        time.sleep(SAMPLE_SECONDS)
    return after, lines
