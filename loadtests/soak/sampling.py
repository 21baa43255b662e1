"""What the processes of a server use, moment by moment."""

import time
from collections.abc import Collection
from dataclasses import dataclass

import psutil

from loadtests.errors import LoadTestError
from loadtests.servers import memory

# What the command line of a process has that multiprocessing has made.
WORKER_MARK = "--multiprocessing-fork"
SUPERVISOR, WORKER = "supervisor", "worker"
UNITS = ("MB", "descriptors", "threads")


@dataclass(frozen=True)
class Usage:
    """What one process uses: memory of its own (USS) in MB, descriptors and threads."""

    pid: int
    is_worker: bool
    mb: float
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Sample:
    """All processes at one time, in seconds since the epoch."""

    time: float
    processes: tuple[Usage, ...]

    @property
    def workers(self) -> tuple[Usage, ...]:
        """The workers alone."""
        return tuple(usage for usage in self.processes if usage.is_worker)

    def of(self, role: str) -> dict[str, float]:
        """What a worker uses on average, or the supervisor with its helpers."""
        return average(self.workers) if role == WORKER else total(set(self.processes) - set(self.workers))

    def of_all(self) -> dict[str, float]:
        """What all processes use together."""
        return total(self.processes)


def total(usages: Collection[Usage]) -> dict[str, float]:
    return {
        "MB": sum(usage.mb for usage in usages),
        "descriptors": sum(usage.descriptors for usage in usages),
        "threads": sum(usage.threads for usage in usages),
    }


def average(usages: Collection[Usage]) -> dict[str, float]:
    """0 of everything where there are none."""
    return {unit: number / (len(usages) or 1) for unit, number in total(usages).items()}


def take(pid: int) -> Sample:
    """Looks at the process and those below it; one of those that ends meanwhile is left out.

    Raises LoadTestError where the process itself has ended.
    """
    usages = [usage for process in memory.tree(pid) if (usage := usage_of(process)) is not None]
    if pid not in [usage.pid for usage in usages]:
        raise LoadTestError("the server ended while it was under load")
    return Sample(time.time(), tuple(usages))


def usage_of(process: psutil.Process) -> Usage | None:
    try:
        with process.oneshot():
            return Usage(
                process.pid,
                WORKER_MARK in process.cmdline(),
                process.memory_full_info().uss / memory.MEGABYTE,
                process.num_fds(),
                process.num_threads(),
            )
    except psutil.Error:
        return None
