"""The changes since an earlier comparison: values that became slower or faster, or stayed within the noise."""

from collections.abc import Iterator

from loadtests.results import CPU, RATE, Results, Spread, spread
from loadtests.table import cases

# Medians that are closer than this are the same, however close together the rounds were.
TOLERANCE = 0.03
COLUMNS = ("scenario", "server", "threads or workers", "value", "now", "before", "change", "verdict")


def changes(before: Results, now: Results) -> Iterator[list[str]]:
    """The rows of `COLUMNS`: everything that both have."""
    earlier = cases(before)
    for (name, server, threads), samples in cases(now).items():
        for value in (RATE, "p50 ms", "p99 ms", CPU):
            old, new = spread(earlier.get((name, server, threads), ()), value), spread(samples, value)
            if old and new:
                change = f"{new.median / old.median - 1:+.0%}"
                yield [name, server, str(threads), value, str(new), str(old), change, verdict(value, old, new)]


def verdict(value: str, old: Spread, new: Spread) -> str:
    """Return "within noise" where the rounds of both overlap, or the medians are as good as the same."""
    is_apart = new.greatest < old.least or new.least > old.greatest
    if not is_apart or abs(new.median / old.median - 1) < TOLERANCE:
        return "within noise"
    return "faster" if (new.median > old.median) == (value == RATE) else "slower"
