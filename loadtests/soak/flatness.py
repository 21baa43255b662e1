"""Whether memory, descriptors and threads stay what they are.

Workers are replaced again and again, and grow while they warm up, so what they use goes up and down with the
replacements. The run is cut where those begin; the first piece is the warm-up. Each of the others has all phases in it,
so the median of a piece can be compared with that of another. A worker that is replaced takes along what it had too
much, so the lives of workers are looked at as well, if they are long enough to have more than a warm-up.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from loadtests.soak.sampling import SUPERVISOR, UNITS, WORKER, Sample, Usage, average

# A worker while it gets older, in place of workers of the same phase.
AGEING = "old worker"

# How much more the last third may use than the first: the share of it, and what is added to that.
TOLERANCES: dict[tuple[str, str], tuple[float, float]] = {
    (SUPERVISOR, "MB"): (0.02, 0.5),
    (SUPERVISOR, "descriptors"): (0.0, 2.0),
    (SUPERVISOR, "threads"): (0.0, 0.0),
    (WORKER, "MB"): (0.25, 4.0),
    (WORKER, "descriptors"): (0.25, 5.0),
    (WORKER, "threads"): (0.10, 2.0),
    (AGEING, "MB"): (0.25, 8.0),
    (AGEING, "descriptors"): (0.25, 5.0),
    (AGEING, "threads"): (0.10, 2.0),
}
# Into how many pieces a run is cut in which workers are not replaced.
PIECES = 10
# How many seconds a worker has to live to be looked at while it gets older.
LONG_LIFE = 45.0
# A piece at the end that is shorter than this share of the others does not count.
WHOLE = 0.9


Used = dict[str, float]


@dataclass(frozen=True)
class Trend:
    """What one role used of one thing, first and last, and the most that the last may be."""

    role: str
    unit: str
    first: float
    last: float
    most: float

    @property
    def is_flat(self) -> bool:
        """Whether the last third is within the tolerance."""
        return self.last <= self.most


def trends(samples: Sequence[Sample], cuts: Sequence[float]) -> list[Trend]:
    """First against last third of the pieces behind the first cut, and middle against last third of long lives.

    Nothing where there are less than two pieces.
    """
    pieces = pieces_of(samples, cuts)
    third = len(pieces) // 3 or 1
    if len(pieces) < 2:
        return []
    compared = {
        role: (median_of(role, pieces[:third]), median_of(role, pieces[-third:])) for role in (SUPERVISOR, WORKER)
    }
    if lives := long_lives(samples):
        compared[AGEING] = ageing(lives)
    return [
        Trend(role, unit, first[unit], last[unit], most_of(role, unit, first[unit]))
        for role, (first, last) in compared.items()
        for unit in UNITS
    ]


def most_of(role: str, unit: str, first: float) -> float:
    share, more = TOLERANCES[role, unit]
    return first * (1 + share) + more


def long_lives(samples: Sequence[Sample]) -> list[list[Usage]]:
    """What each worker used, moment by moment, of those that lived for long."""
    lives: dict[int, list[tuple[float, Usage]]] = {}
    for sample in samples:
        for usage in sample.workers:
            lives.setdefault(usage.pid, []).append((sample.time, usage))
    return [[usage for _, usage in life] for life in lives.values() if life[-1][0] - life[0][0] >= LONG_LIFE]


def ageing(lives: Sequence[Sequence[Usage]]) -> tuple[Used, Used]:
    """What workers use on average in the middle third of their lives, and in the last. The first is the warm-up."""
    middles = [usage for life in lives for usage in life[len(life) // 3 : 2 * len(life) // 3]]
    ends = [usage for life in lives for usage in life[2 * len(life) // 3 :]]
    return average(middles), average(ends)


def median_of(role: str, pieces: Sequence[Sequence[Sample]]) -> Used:
    usages = [sample.of(role) for piece in pieces for sample in piece]
    return {unit: median(usage[unit] for usage in usages) for unit in UNITS}


def pieces_of(samples: Sequence[Sample], cuts: Sequence[float]) -> list[list[Sample]]:
    """The samples between one cut and the next, and those behind the last where that piece is as long as the others."""
    if not samples or not cuts:
        return []
    ends = [*cuts[1:], samples[-1].time]
    longest = max(end - begin for begin, end in zip(cuts, ends, strict=True))
    if ends[-1] - cuts[-1] < WHOLE * longest:
        ends.pop()
    found = [
        [sample for sample in samples if begin <= sample.time < end] for begin, end in zip(cuts, ends, strict=False)
    ]
    return [piece for piece in found if piece]


def even_cuts(began: float, ended: float) -> list[float]:
    """Where to cut a run without replacements."""
    step = (ended - began) / PIECES
    return list(itertools.islice(itertools.count(began + step, step), PIECES - 1))
