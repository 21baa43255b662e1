"""What a soak does, and when."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from loadtests.errors import LoadTestError

# Mischief ends so long before the load does, so that its consequences are seen.
AFTERMATH = 3.0
# The warm-up, and what is compared.
FEWEST_RENEWALS = 3


@dataclass(frozen=True)
class Plan:
    """What to do, for how long and how often, all in seconds; 0 is never. Raises LoadTestError if it is too short."""

    seconds: float
    workers: int
    threads: int
    users: int
    renew_every: float
    kill_thread_every: float
    kill_worker_every: float

    def __post_init__(self) -> None:
        if self.seconds < FEWEST_RENEWALS * self.renew_every:
            raise LoadTestError(
                f"in {self.seconds:g} seconds with a SIGHUP every {self.renew_every:g} there is nothing to compare: "
                f"--hup-every {self.seconds / FEWEST_RENEWALS:g} at most"
            )

    @property
    def loops(self) -> int:
        """How many event loops serve."""
        return self.workers * self.threads


class Chore:
    """Something that is done again and again, the first time when the first interval is over; with 0, never.

    `act` returns whether it has done it: where it has not, it is due at once.
    """

    def __init__(self, every: float, act: Callable[[], bool]) -> None:
        self._every = every
        self._act = act
        self._at = time.monotonic() + every

    def do_if_due(self) -> None:
        """Does it if the interval is over. What was missed is not made up for."""
        if self._every and time.monotonic() >= self._at and self._act():
            self._at = max(self._at + self._every, time.monotonic())
