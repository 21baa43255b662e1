"""What the processes of a server use, moment by moment."""

import time
from dataclasses import dataclass
from statistics import fmean

import psutil

from loadtests.errors import LoadTestError
from loadtests.servers import memory

# What the command line of a process has that multiprocessing has made.
WORKER_MARK = "--multiprocessing-fork"
SAMPLE_SECONDS = 1.0
SUPERVISOR, WORKER = "supervisor", "worker"
MB, DESCRIPTORS, THREADS = UNITS = ("MB", "descriptors", "threads")


@dataclass(frozen=True)
class Usage:
    """What one process uses by its unit: memory of its own (USS) in MB, descriptors and threads."""

    pid: int
    role: str
    used: dict[str, float]


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

    def typical(self, role: str) -> dict[str, float]:
        """Return what a worker uses on average, or the supervisor with its helpers; 0 where there are none."""
        used = [usage.used for usage in self.of(role)] or [dict.fromkeys(UNITS, 0.0)]
        combine = fmean if role == WORKER else sum
        return {unit: combine(each[unit] for each in used) for unit in UNITS}


def take(pid: int) -> Sample:
    """Look at the process and those below it; one of those that ends meanwhile is left out.

    Raises LoadTestError where the process itself has ended.
    """
    try:
        usages = tuple(usage for process in memory.tree(pid) if (usage := usage_of(process)) is not None)
    except psutil.NoSuchProcess:
        usages = ()
    if not usages or usages[0].pid != pid:
        raise LoadTestError("the server ended while it was under load")
    return Sample(time.time(), usages)


def usage_of(process: psutil.Process) -> Usage | None:
    """Return what a process uses; None where it has ended."""
    try:
        with process.oneshot():
            used = (process.memory_full_info().uss / memory.MEGABYTE, process.num_fds(), process.num_threads())
            role = WORKER if WORKER_MARK in process.cmdline() else SUPERVISOR
            return Usage(process.pid, role, dict(zip(UNITS, used, strict=True)))
    except psutil.Error:
        return None
