"""What a load generator reports of one run."""

from dataclasses import dataclass, field

# Ranks of the percentiles that every generator tells, as they are written.
RANKS = ("50", "75", "90", "95", "99", "99.9", "100")


@dataclass(frozen=True)
class LoadResult:
    """What the clients saw.

    `percentiles` are latencies in milliseconds by their rank (`RANKS`), of all requests together; `errors` are counts by
    kind, and only where there were any. `timeline` has `(seconds since the start, milliseconds)` of single requests in
    the order of their ends, where the generator tells them. `by_name` has the median of each kind of request in
    milliseconds, where there are several.
    """

    command: list[str]
    requests: int
    seconds: float
    percentiles: dict[str, float]
    errors: dict[str, int] = field(default_factory=dict)
    timeline: list[tuple[float, float]] = field(default_factory=list)
    by_name: dict[str, float] = field(default_factory=dict)

    @property
    def requests_per_second(self) -> float:
        """The rate over the whole run."""
        return self.requests / self.seconds
