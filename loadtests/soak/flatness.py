"""The trends of memory, descriptors and threads, which are to be flat.

Workers are replaced again and again, and grow while they warm up. So the run is cut into periods from one replacement
to the next, of which the first is the warm-up: medians of several can be compared, since each has all phases in it. A
worker that is replaced takes along what it had too much, so the lives of workers are looked at as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from loadtests.soak.sampling import SAMPLE_SECONDS, SUPERVISOR, UNITS, WORKER, Sample, Used

# A worker while it gets older, in place of workers of the same phase.
AGEING = "old worker"
# How much more of each unit the last third may use than the first: the share of it, and what is added to that.
TOLERANCES = {
    SUPERVISOR: ((0.02, 0.5), (0.0, 2.0), (0.0, 0.0)),
    WORKER: ((0.25, 4.0), (0.25, 5.0), (0.10, 2.0)),
    AGEING: ((0.25, 8.0), (0.25, 5.0), (0.10, 2.0)),
}
# How many seconds a worker has to live to be looked at while it gets older.
LONG_LIFE_SECONDS = 45.0


@dataclass(frozen=True)
class Trend:
    """The use of one unit by one role, first and last, and the most that the last may be."""

    role: str
    unit: str
    first: float
    last: float
    most: float

    def __str__(self) -> str:
        numbers = f"{self.first:12.1f}{self.last:12.1f}{self.most:10.1f}"
        return f"{self.role:12}{self.unit:14}{numbers}  {'flat' if self.is_flat else 'GROWS'}"

    @property
    def is_flat(self) -> bool:
        """True where the last is within the tolerance."""
        return self.last <= self.most


def trends(samples: Sequence[Sample], period: float) -> list[Trend]:
    """Return first against last third of the periods behind the warm-up, and middle against last third of long lives.

    Nothing where there are less than two whole periods behind the warm-up. A period is in seconds.
    """
    periods = int((samples[-1].time - samples[0].time + SAMPLE_SECONDS) / period) if samples else 0
    if periods < 3:
        return []
    third = max((periods - 1) // 3, 1)
    firsts, lasts = (
        [each for each in samples if begin * period <= each.time - samples[0].time < (begin + third) * period]
        for begin in (1, periods - third)
    )
    found: list[Trend] = []
    for role in (SUPERVISOR, WORKER):
        found += compared(role, [each.typical(role) for each in firsts], [each.typical(role) for each in lasts])
    # The first third of a life is its warm-up.
    lives = long_lives(samples)
    middles = [used for life in lives for used in life[len(life) // 3 : 2 * len(life) // 3]]
    return found + compared(AGEING, middles, [used for life in lives for used in life[2 * len(life) // 3 :]])


def compared(role: str, first: Sequence[Used], last: Sequence[Used]) -> list[Trend]:
    """Return the trends of a role; nothing where it was not seen."""
    found: list[Trend] = []
    for unit, (share, more) in zip(UNITS, TOLERANCES[role], strict=True):
        if first and last:
            before, after = (median(used[unit] for used in each) for each in (first, last))
            found.append(Trend(role, unit, before, after, before * (1 + share) + more))
    return found


def long_lives(samples: Sequence[Sample]) -> list[list[Used]]:
    """Return what each worker used, moment by moment, of those that lived for long."""
    lives: dict[int, list[tuple[float, Used]]] = {}
    for sample in samples:
        for usage in sample.of(WORKER):
            lives.setdefault(usage.pid, []).append((sample.time, usage.used))
    return [[used for _, used in life] for life in lives.values() if life[-1][0] - life[0][0] >= LONG_LIFE_SECONDS]
