"""How the time of a thread is spent, as the system counts it.

Belongs to the thread that asks, which may be any; the one that it asks about does not notice.
"""

import os
from typing import NamedTuple

NANOSECONDS = 1e9
# Three numbers of 20 digits at most.
SIZE = 64


class Spent(NamedTuple):
    """Seconds so far, in which a thread has run, and in which it could have, but no processor was free."""

    running: float
    waiting: float


class ThreadTimes:
    """Looks at the times of one thread, by its native id: Linux's `schedstat`, where there is one.

    Where there is none, no time is spent.
    """

    def __init__(self, thread_id: int) -> None:
        self._descriptor: int | None = None
        try:
            self._descriptor = os.open(f"/proc/self/task/{thread_id}/schedstat", os.O_RDONLY)
        except OSError:
            return

    def look(self) -> Spent:
        """The times up to now; none of a thread that has ended."""
        if self._descriptor is None:
            return Spent(0.0, 0.0)
        try:
            running, waiting = os.pread(self._descriptor, SIZE, 0).split()[:2]
        except (OSError, ValueError):
            return Spent(0.0, 0.0)
        return Spent(int(running) / NANOSECONDS, int(waiting) / NANOSECONDS)

    def close(self) -> None:
        """Looks no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
