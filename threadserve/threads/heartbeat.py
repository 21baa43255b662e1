"""A loop's heartbeat, which shows that the loop turns and how late its timers are.

Belongs to the loop's thread; any other thread may read when the next beat is due.
"""

import asyncio
import time
from math import inf

from threadserve.metrics.histogram import Histogram

# In seconds: from a loop that is at work to one that is blocked.
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MAX_BEAT_INTERVAL_SECONDS = 0.25
# A heartbeat that is more frequent would be a load by itself.
MIN_BEAT_INTERVAL_SECONDS = 0.01
BEATS_PER_STALL_TIMEOUT = 4


class LoopHeartbeat:
    """Beats every `interval` seconds while the loop turns.

    `due` is when the next beat is due, in seconds of `time.monotonic`; it is infinite while the heartbeat is stopped.
    `late` is the delay, in seconds, of the last beat that was late by more than an interval. `lag` counts all delays.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        self.due = time.monotonic() + interval
        self.late = 0.0
        self.lag = Histogram(LAG_BUCKETS)
        self._loop = loop
        self._interval = interval
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Schedule the next beat."""
        self.due = time.monotonic() + self._interval
        self._handle = self._loop.call_later(self._interval, self._beat)

    def stop(self) -> None:
        """Stop beating. Nobody waits for the heartbeat from now on."""
        self.due = inf
        if self._handle is not None:
            self._handle.cancel()

    def _beat(self) -> None:
        late = max(0.0, time.monotonic() - self.due)
        self.lag.add(late)
        if late > self._interval:
            self.late = late
        self.start()


def compute_heartbeat_interval(timeout_loop_stall: float) -> float:
    """Return the seconds between two beats for a stall of `timeout_loop_stall` seconds to be noticed."""
    wanted = timeout_loop_stall / BEATS_PER_STALL_TIMEOUT or MAX_BEAT_INTERVAL_SECONDS
    return min(max(wanted, MIN_BEAT_INTERVAL_SECONDS), MAX_BEAT_INTERVAL_SECONDS)
