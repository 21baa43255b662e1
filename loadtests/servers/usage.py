"""The memory of a server's processes, and their CPU time, threads and RSS under load, read by a thread."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Self

import psutil

from loadtests.errors import require

MEGABYTE = 1_000_000
# Between two readings.
PAUSE_SECONDS = 0.5
# What was read at one moment, in seconds since the epoch; CPU seconds are those since the start, and memory is in MB.
Reading = dict[str, float]
AT, CPU_SECONDS, RSS = "at", "CPU seconds", "RSS MB"


def tree(pid: int) -> list[psutil.Process]:
    """Return the process and those below it; raises psutil.NoSuchProcess."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def memory_of_tree(pid: int) -> dict[str, float]:
    """Return the sums over all processes of the tree, in MB; raises psutil.NoSuchProcess.

    RSS counts what processes share once for each of them, PSS once in all, and USS leaves it out.
    """
    infos = [process.memory_full_info() for process in tree(pid)]
    return {
        f"{kind.upper()} MB": sum(getattr(info, kind) for info in infos) / MEGABYTE for kind in ("pss", "uss", "rss")
    }


def read(processes: Sequence[psutil.Process]) -> Reading:
    """Read all processes of a tree; raises psutil.Error where one of them ends meanwhile.

    The CPU time of a process that has ended is its parent's from the moment that the parent has waited for it, so
    nothing is lost as long as the parent lives.
    """
    return {
        AT: time.time(),
        CPU_SECONDS: sum(sum(process.cpu_times()[:4]) for process in processes),
        "OS threads": sum(process.num_threads() for process in processes),
        "processes": len(processes),
        RSS: sum(process.memory_info().rss for process in processes) / MEGABYTE,
    }


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

    def __enter__(self) -> Self:
        # Finding the processes takes long where a load already has all CPUs.
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        with suppress(psutil.Error):
            self.memory = memory_of_tree(self._pid)

    def _read(self) -> None:
        while not self._over.wait(self._pause_seconds):
            self._look()
        self._look()

    def _look(self) -> None:
        """Read the processes that were found, or find them again where one of them has ended."""
        try:
            self._processes = self._processes or tree(self._pid)
            self.readings.append(read(self._processes))
        except psutil.Error:
            self._processes = []

    def usage(self, began: float, ended: float) -> dict[str, float]:
        """Return the CPU seconds of that time, threads and processes at their most, and memory in MB at its end.

        Raises LoadTestError where there is no reading at all.
        """
        readings = self.between(began, ended)
        most = {name: max(reading[name] for reading in readings) for name in ("OS threads", "processes")}
        return {CPU_SECONDS: self.cpu_at(ended) - self.cpu_at(began)} | most | self.memory

    def growth(self, began: float, ended: float) -> float:
        """Return by how many MB the RSS grew at most, beyond what it was before."""
        before = self.between(0, began)[-1][RSS]
        return max(0.0, *(reading[RSS] - before for reading in self.between(began, ended)))

    def between(self, began: float, ended: float) -> list[Reading]:
        """Return the readings of that time, or the nearest one; raises LoadTestError where there is none."""
        require(self.readings, "the server's processes could not be read")
        within = [reading for reading in self.readings if began <= reading[AT] <= ended]
        return within or [min(self.readings, key=lambda reading: abs(reading[AT] - ended))]

    def cpu_at(self, moment: float) -> float:
        """Return the CPU time used until then: between two readings in proportion, beyond them that of the nearest."""
        for earlier, later in pairwise(self.readings):
            if moment <= later[AT]:
                share = max(0.0, (moment - earlier[AT]) / (later[AT] - earlier[AT]))
                return earlier[CPU_SECONDS] + share * (later[CPU_SECONDS] - earlier[CPU_SECONDS])
        return self.readings[-1][CPU_SECONDS]
