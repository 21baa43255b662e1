"""A histogram of measured values.

A histogram belongs to the thread that adds to it; any other thread may read it at the same time. It holds machine
numbers in an array, so no object passes between threads and no lock is taken.
"""

from array import array
from dataclasses import dataclass

# From a request that is answered at once to one that no client waits for any more.
DURATION_BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
COUNT_BYTES = 8


@dataclass(frozen=True)
class Distribution:
    """The contents of a histogram when it was read.

    `counts` has one number for each of `bounds`: the values no larger than it and larger than the bound before. The
    last one counts the values above all `bounds`. `total` is the sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    def __add__(self, other: "Distribution") -> "Distribution":
        counts = tuple(map(sum, zip(self.counts, other.counts, strict=True)))
        return Distribution(self.bounds, counts, self.total + other.total)


class Histogram:
    """Counts values by the first of its bounds that is not below them. Owned by the thread that adds."""

    __slots__ = ("_bounds", "_counts", "_size", "_total")

    def __init__(self, bounds: tuple[float, ...] = DURATION_BOUNDS_SECONDS) -> None:
        self._bounds = array("d", bounds)
        self._counts = array("Q", bytes(COUNT_BYTES * (len(bounds) + 1)))
        self._size = len(bounds)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        index = 0
        # A linear search: nearly all values belong to the first few bounds.
        while index < self._size and value > self._bounds[index]:
            index += 1
        self._counts[index] += 1
        self._total += value

    def read_threadsafe(self) -> Distribution:
        """Return the contents. A value that is added meanwhile may be in the counts but not yet in the total."""
        return Distribution(tuple(self._bounds), tuple(self._counts), self._total)
