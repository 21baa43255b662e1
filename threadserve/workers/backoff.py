"""The backoff between starts of workers that die soon after they were started.

Belongs to the supervisor's main thread.
"""

import logging
import math
import time
from collections.abc import Callable

logger = logging.getLogger("threadserve.error")

MAX_START_PAUSE_SECONDS = 30.0
# A worker that has served for so long did not end because of how it starts.
STEADY_SECONDS = 30.0


class StartBackoff:
    """Decides when the next worker may be started. `clock` returns the time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_a_row = 0
        self._last = -math.inf
        self._until = -math.inf

    @property
    def is_active(self) -> bool:
        """True while the next start has to wait."""
        return self._clock() < self._until

    def on_death(self, serves_since: float | None) -> None:
        """Take note that a worker died that had served since `serves_since`, or could not start if that is None.

        After the first death of a worker that has served, its replacement is started at once. From the second on, and
        after each failed start, the pause is twice as long as the one before it.
        """
        now = self._clock()
        if serves_since is not None and now - serves_since >= STEADY_SECONDS:
            return
        self._last = now
        self._in_a_row = max(self._in_a_row + 1, 2 if serves_since is None else 1)
        pause = min(MAX_START_PAUSE_SECONDS, 2.0 ** (self._in_a_row - 2)) if self._in_a_row > 1 else 0.0
        self._until = now + pause
        if pause > 1:
            logger.critical("Child processes end again and again: the next is started in %g seconds.", pause)

    def on_serving(self, serves_since: float) -> None:
        """Take note that a worker has served since `serves_since`; after a while earlier deaths no longer count."""
        if serves_since >= self._last and self._clock() - serves_since >= STEADY_SECONDS:
            self.reset()

    def reset(self) -> None:
        """Allow the next start at once, and forget earlier deaths."""
        self._in_a_row = 0
        self._until = -math.inf
