"""The processor time of a thread, as the system counts it.

Belongs to the thread that asks, which may be any; the thread that it asks about does not notice.
"""

import os
from typing import NamedTuple

NANOSECONDS_PER_SECOND = 1e9
# Enough for three numbers of 20 digits.
SCHEDSTAT_BYTES = 64


class CpuTimes(NamedTuple):
    """The seconds that a thread has run, and that it has waited for a free processor."""

    running: float
    waiting: float


class ThreadTimes:
    """Reads a thread's times, by its native id, from Linux's `schedstat`. All are 0 where there is none."""

    def __init__(self, thread_id: int) -> None:
        self._descriptor: int | None = None
        try:
            self._descriptor = os.open(f"/proc/self/task/{thread_id}/schedstat", os.O_RDONLY)
        except OSError:
            return

    def read(self) -> CpuTimes:
        """Return the times up to now, or 0 for a thread that has ended."""
        if self._descriptor is None:
            return CpuTimes(0.0, 0.0)
        try:
            running, waiting = os.pread(self._descriptor, SCHEDSTAT_BYTES, 0).split()[:2]
        except (OSError, ValueError):
            return CpuTimes(0.0, 0.0)
        return CpuTimes(int(running) / NANOSECONDS_PER_SECOND, int(waiting) / NANOSECONDS_PER_SECOND)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
