"""A loop's pulse: by it others see that the loop turns, and how late it is with what is due.

Belongs to the loop's thread, on which it beats; any other thread may read when the next beat is due.
"""

import asyncio
import time
from math import inf

from threadserve.metrics.histogram import Histogram

# Seconds: from a loop that is at work to one that somebody blocks.
LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LONGEST_INTERVAL = 0.25
# More often would be work by itself.
SHORTEST_INTERVAL = 0.01
BEATS_PER_STALL = 4


class Pulse:
    """Beats every `interval` seconds while the loop turns.

    The next beat is due at `due`, in the seconds of `time.monotonic`, infinitely late while there is none to come.
    `late` is by how many seconds the last one that was late for more than an interval was so.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        self.due = time.monotonic() + interval
        self.late = 0.0
        self.lag = Histogram(LAGS)
        self._loop = loop
        self._interval = interval
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins to beat."""
        self.due = time.monotonic() + self._interval
        self._handle = self._loop.call_later(self._interval, self._beat)

    def stop(self) -> None:
        """Beats no more: nobody is to wait for it."""
        self.due = inf
        if self._handle is not None:
            self._handle.cancel()

    def _beat(self) -> None:
        late = max(0.0, time.monotonic() - self.due)
        self.lag.add(late)
        if late > self._interval:
            self.late = late
        self.start()


def pulse_interval(timeout_loop_stall: float) -> float:
    """How often a loop shows that it turns, in seconds, where one that has not for so long is to be noticed."""
    wanted = timeout_loop_stall / BEATS_PER_STALL or LONGEST_INTERVAL
    return min(max(wanted, SHORTEST_INTERVAL), LONGEST_INTERVAL)
