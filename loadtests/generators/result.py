"""The report of a load generator on one run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

# Ranks of the percentiles that every generator tells, as they are written.
RANKS = ("50", "75", "90", "95", "99", "99.9", "100")


@dataclass(frozen=True)
class LoadResult:
    """One run, as the clients saw it.

    `requests` are those that were answered without an error, or messages where the `noun` says so. `percentiles` are
    latencies in milliseconds by their rank (`RANKS`), `errors` counts by kind, `answers` counts by body, where they are
    asked for. The measured time began at `began`, in seconds since the epoch, after `warm_up_requests`. `cpu_share` is
    the CPU time that the generator used in each second, 0 where that is unknown.
    """

    command: list[str]
    requests: int
    seconds: float
    percentiles: dict[str, float]
    errors: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    began: float = 0.0
    cpu_share: float = 0.0
    warm_up_requests: int = 0
    noun: str = "requests"

    @property
    def values(self) -> dict[str, float]:
        """The rate and the percentiles, by the names that they have in reports."""
        return {f"{self.noun}/s": self.requests / self.seconds} | {
            f"p{rank} ms": milliseconds for rank, milliseconds in self.percentiles.items()
        }


def percentiles_of(milliseconds: Sequence[float]) -> dict[str, float]:
    """Return the percentiles of single requests' latencies, at least one, by their rank.

    Each is the nearest-rank percentile: the smallest value that so many percent of all do not exceed.
    """
    ranked = sorted(milliseconds)
    return {rank: ranked[max(0, math.ceil(float(rank) * len(ranked) / 100) - 1)] for rank in RANKS}
