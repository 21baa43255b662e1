"""What all processes of a server use while it is under load, read again and again by a thread."""

import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

import psutil

from loadtests.servers import memory

# Seconds between two readings. One costs several milliseconds, of the CPUs that the server has as well.
PAUSE = 0.5


@dataclass(frozen=True)
class Reading:
    """The processes at one moment, in seconds since the epoch: CPU seconds since they started, and memory in MB."""

    at: float
    cpu_seconds: float
    threads: int
    processes: int
    memory: dict[str, float]


def read(pid: int) -> Reading:
    """Reads all processes of the tree; raises psutil.Error where one of them ends meanwhile.

    The CPU time of a process that has ended is its parent's from the moment that the parent has waited for it, so
    nothing is lost as long as the parent lives.
    """
    processes = memory.tree(pid)
    return Reading(
        at=time.time(),
        cpu_seconds=cpu_of(processes),
        threads=sum(process.num_threads() for process in processes),
        processes=len(processes),
        memory=memory.of_processes(processes),
    )


def cpu_seconds(pid: int) -> float:
    """The CPU seconds of all processes of the tree since they started; raises psutil.Error."""
    return cpu_of(memory.tree(pid))


def cpu_of(processes: Sequence[psutil.Process]) -> float:
    """The CPU seconds of these, and of those of their children that have ended."""
    return sum(sum(process.cpu_times()[:4]) for process in processes)


@dataclass
class Monitor:
    """Reads a process tree for the length of a `with` block."""

    pid: int
    readings: list[Reading] = field(default_factory=list)

    def __enter__(self) -> "Monitor":
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, name="monitor", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        over = False
        while not over:
            with suppress(psutil.Error):
                self.readings.append(read(self.pid))
            over = self._over.is_set()
            self._over.wait(PAUSE)

    def between(self, began: float, ended: float) -> list[Reading]:
        """The readings of that time, both in seconds since the epoch; the nearest one where there are none."""
        within = [reading for reading in self.readings if began <= reading.at <= ended]
        return within or sorted(self.readings, key=lambda reading: abs(reading.at - ended))[:1]

    def cpu_seconds(self, began: float, ended: float) -> float:
        """The CPU time used between the two moments, in seconds since the epoch."""
        return cpu_at(self.readings, ended) - cpu_at(self.readings, began)


def cpu_at(readings: Sequence[Reading], moment: float) -> float:
    """The CPU time used until a moment: between two readings in proportion, beyond them that of the nearest."""
    if not readings:
        return 0.0
    after = bisect_left([reading.at for reading in readings], moment)
    if after in (0, len(readings)):
        return readings[min(after, len(readings) - 1)].cpu_seconds
    earlier, later = readings[after - 1], readings[after]
    share = (moment - earlier.at) / (later.at - earlier.at)
    return earlier.cpu_seconds + share * (later.cpu_seconds - earlier.cpu_seconds)
