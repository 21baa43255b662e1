"""The CPU time, threads and memory of a server under load, read again and again by a thread."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

import psutil

from loadtests.errors import LoadTestError
from loadtests.servers import memory

# Between two readings.
PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Reading:
    """The processes at one moment, in seconds since the epoch: CPU seconds since they started, and RSS in MB."""

    at: float
    cpu_seconds: float
    threads: int
    processes: int
    rss_mb: float


def read(processes: Sequence[psutil.Process]) -> Reading:
    """Read all processes of a tree; raises psutil.Error where one of them ends meanwhile.

    The CPU time of a process that has ended is its parent's from the moment that the parent has waited for it, so
    nothing is lost as long as the parent lives.
    """
    return Reading(
        at=time.time(),
        cpu_seconds=sum(sum(process.cpu_times()[:4]) for process in processes),
        threads=sum(process.num_threads() for process in processes),
        processes=len(processes),
        rss_mb=sum(process.memory_info().rss for process in processes) / memory.MEGABYTE,
    )


class Monitor:
    """Reads a process tree for the length of a `with` block, in a thread of its own. Moments are since the epoch.

    PSS and USS are read only at the end: the system stops a process from mapping memory while it adds them up.
    """

    def __init__(self, pid: int, pause_seconds: float = PAUSE_SECONDS) -> None:
        self.readings: list[Reading] = []
        self.memory: dict[str, float] = {}
        self._processes: list[psutil.Process] = []
        self._pid, self._pause_seconds = pid, pause_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, name="monitor", daemon=True)

    def __enter__(self) -> "Monitor":
        # Finding the processes takes long where a load already has all CPUs.
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        with suppress(psutil.Error):
            self.memory = memory.of_tree(self._pid)

    def _read(self) -> None:
        while not self._over.wait(self._pause_seconds):
            self._look()
        self._look()

    def _look(self) -> None:
        """Read the processes that were found, or find them again where one of them has ended."""
        try:
            self._processes = self._processes or memory.tree(self._pid)
            self.readings.append(read(self._processes))
        except psutil.Error:
            self._processes = []

    def usage(self, began: float, ended: float) -> dict[str, float]:
        """Return the CPU seconds of that time, threads and processes at their most, and memory in MB at its end.

        Raises LoadTestError where there is no reading at all.
        """
        readings = self.between(began, ended)
        return {
            "CPU seconds": self.cpu_at(ended) - self.cpu_at(began),
            "OS threads": max(reading.threads for reading in readings),
            "processes": max(reading.processes for reading in readings),
            **self.memory,
        }

    def growth(self, began: float, ended: float) -> float:
        """Return by how many MB the RSS grew at most, beyond what it was before."""
        before, meanwhile = self.between(0, began)[-1], self.between(began, ended)
        return max(0.0, *(reading.rss_mb - before.rss_mb for reading in meanwhile))

    def between(self, began: float, ended: float) -> list[Reading]:
        """Return the readings of that time, or the nearest one; raises LoadTestError where there is none."""
        if not self.readings:
            raise LoadTestError("the server's processes could not be read")
        within = [reading for reading in self.readings if began <= reading.at <= ended]
        return within or sorted(self.readings, key=lambda reading: abs(reading.at - ended))[:1]

    def cpu_at(self, moment: float) -> float:
        """Return the CPU time used until then: between two readings in proportion, beyond them that of the nearest."""
        first, last = self.readings[0], self.readings[-1]
        earlier = max((one for one in self.readings if one.at <= moment), key=lambda one: one.at, default=first)
        later = min((one for one in self.readings if one.at >= moment), key=lambda one: one.at, default=last)
        share = (moment - earlier.at) / (later.at - earlier.at) if later.at > earlier.at else 0.0
        return earlier.cpu_seconds + min(1.0, max(0.0, share)) * (later.cpu_seconds - earlier.cpu_seconds)
