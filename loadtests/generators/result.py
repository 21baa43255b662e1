"""What a load generator reports of one run."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtests.clients.latency import percentile

# Ranks of the percentiles that every generator tells, as they are written.
RANKS = ("50", "75", "90", "95", "99", "99.9", "100")


@dataclass(frozen=True)
class LoadResult:
    """What the clients saw.

    `requests` are those that were answered without an error. `percentiles` are latencies in milliseconds by their rank
    (`RANKS`), of all requests together; `errors` are counts by kind, and only where there were any. `timeline` has
    `(seconds since the start, milliseconds)` of single requests in the order of their ends, where the generator tells
    them. `by_name` has the median of each kind of request in milliseconds, where there are several. `began` is when the
    measured time began, in seconds since the epoch; `cpu_share` is the CPU time that the generator itself used in each
    second of it, where that is known.
    """

    command: list[str]
    requests: int
    seconds: float
    percentiles: dict[str, float]
    errors: dict[str, int] = field(default_factory=dict)
    timeline: list[tuple[float, float]] = field(default_factory=list)
    by_name: dict[str, float] = field(default_factory=dict)
    began: float = 0.0
    cpu_share: float = 0.0

    @property
    def requests_per_second(self) -> float:
        """The rate over the whole run."""
        return self.requests / self.seconds


def percentiles_of(milliseconds: Sequence[float]) -> dict[str, float]:
    """The percentiles of single requests' latencies, by their rank; there has to be one at least."""
    ranked = sorted(milliseconds)
    return {rank: percentile(ranked, float(rank)) for rank in RANKS}
