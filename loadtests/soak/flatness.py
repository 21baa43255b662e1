"""Whether memory, descriptors and threads stay what they are.

Workers are replaced again and again, and grow while they warm up, so what they use goes up and down with the
replacements. The run is cut into periods from one to the next; the first is the warm-up. Each of the others has all
phases in it, so the median of some can be compared with that of others. A worker that is replaced takes along what it
had too much, so the lives of workers are looked at as well, if they are long enough to have more than a warm-up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from loadtests.soak.sampling import (
    DESCRIPTORS,
    MB,
    SAMPLE_SECONDS,
    SUPERVISOR,
    THREADS,
    UNITS,
    WORKER,
    Sample,
    Usage,
)

# A worker while it gets older, in place of workers of the same phase.
AGEING = "old worker"

# How much more the last third may use than the first: the share of it, and what is added to that.
TOLERANCES: dict[tuple[str, str], tuple[float, float]] = {
    (SUPERVISOR, MB): (0.02, 0.5),
    (SUPERVISOR, DESCRIPTORS): (0.0, 2.0),
    (SUPERVISOR, THREADS): (0.0, 0.0),
    (WORKER, MB): (0.25, 4.0),
    (WORKER, DESCRIPTORS): (0.25, 5.0),
    (WORKER, THREADS): (0.10, 2.0),
    (AGEING, MB): (0.25, 8.0),
    (AGEING, DESCRIPTORS): (0.25, 5.0),
    (AGEING, THREADS): (0.10, 2.0),
}
# How many seconds a worker has to live to be looked at while it gets older.
LONG_LIFE_SECONDS = 45.0

Used = dict[str, float]


@dataclass(frozen=True)
class Trend:
    """What one role used of one thing, first and last."""

    role: str
    unit: str
    first: float
    last: float

    def __str__(self) -> str:
        numbers = f"{self.first:12.1f}{self.last:12.1f}{self.most:10.1f}"
        return f"{self.role:12}{self.unit:14}{numbers}  {'flat' if self.is_flat else 'GROWS'}"

    @property
    def most(self) -> float:
        """The most that the last may be."""
        share, more = TOLERANCES[self.role, self.unit]
        return self.first * (1 + share) + more

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
    compared = {
        role: ([each.typical(role) for each in firsts], [each.typical(role) for each in lasts])
        for role in (SUPERVISOR, WORKER)
    }
    if lives := long_lives(samples):
        compared[AGEING] = middles_and_ends(lives)
    return [
        Trend(role, unit, median(used[unit] for used in first), median(used[unit] for used in last))
        for role, (first, last) in compared.items()
        for unit in UNITS
    ]


def long_lives(samples: Sequence[Sample]) -> list[list[Usage]]:
    """Return what each worker used, moment by moment, of those that lived for long."""
    lives: dict[int, list[tuple[float, Usage]]] = {}
    for sample in samples:
        for usage in sample.of(WORKER):
            lives.setdefault(usage.pid, []).append((sample.time, usage))
    return [[usage for _, usage in life] for life in lives.values() if life[-1][0] - life[0][0] >= LONG_LIFE_SECONDS]


def middles_and_ends(lives: Sequence[Sequence[Usage]]) -> tuple[list[Used], list[Used]]:
    """Return what workers use in the middle third of their lives, and in the last. The first is the warm-up."""
    middles = [usage.used for life in lives for usage in life[len(life) // 3 : 2 * len(life) // 3]]
    return middles, [usage.used for life in lives for usage in life[2 * len(life) // 3 :]]
