"""How often a value was how large.

A histogram belongs to the thread that adds to it; any other may read it at the same time. Numbers of the machine's, in
an array: no object passes from one thread to another, and nothing is locked.
"""

from array import array
from dataclasses import dataclass

# Seconds, from a request that is answered at once to one that nobody waits for any more.
DURATION_BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
COUNT_BYTES = 8


@dataclass(frozen=True)
class Distribution:
    """What a histogram held when it was read: of each bound how many values were no larger, beyond those below it.

    The last of `counts` is of the values above all `bounds`; `total` is the sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    def __add__(self, other: "Distribution") -> "Distribution":
        counts = tuple(map(sum, zip(self.counts, other.counts, strict=True)))
        return Distribution(self.bounds, counts, self.total + other.total)


class Histogram:
    """Counts values by the first of its bounds that is not below them."""

    __slots__ = ("_bounds", "_counts", "_size", "_total")

    def __init__(self, bounds: tuple[float, ...] = DURATION_BOUNDS_SECONDS) -> None:
        self._bounds = array("d", bounds)
        self._counts = array("Q", bytes(COUNT_BYTES * (len(bounds) + 1)))
        self._size = len(bounds)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Counts one value."""
        index = 0
        # Nearly all that is counted here belongs to the first few.
        while index < self._size and value > self._bounds[index]:
            index += 1
        self._counts[index] += 1
        self._total += value

    def read_threadsafe(self) -> Distribution:
        """What has been counted so far. What is added meanwhile may be in the counts and not yet in the total."""
        return Distribution(tuple(self._bounds), tuple(self._counts), self._total)
