"""The rows of the figures that have a target: medians, ratios, and whether they are as wanted."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median

from loadtests.results.medians import Spread, spread
from loadtests.results.record import Results, Target


@dataclass(frozen=True)
class Row:
    """One comparison, or a value of ours alone: then there are no `peer`, `theirs` and `ratio`.

    `reached` is None where something is only shown.
    """

    figure: str
    value: str
    ours: Spread
    peer: str = ""
    theirs: Spread | None = None
    ratio: float | None = None
    target: str = ""
    reached: bool | None = None

    @property
    def cells(self) -> list[str]:
        """The texts of a row, as they stand in the table."""
        verdict = {True: "yes", False: "no", None: ""}[self.reached]
        theirs, ratio = str(self.theirs or ""), "" if self.ratio is None else f"{self.ratio:.2f}"
        return [self.figure, self.value, str(self.ours), self.peer, theirs, ratio, self.target, verdict]


def rows(results: Results) -> list[Row]:
    """Return a row for every value alone, and for every comparison of two servers that have been measured."""
    return [row for name, some in results.targets.items() for target in some for row in rows_of(results, name, target)]


def rows_of(results: Results, name: str, target: Target) -> Iterator[Row]:
    """The rows of one target, one for each way of the peer that was measured; it is about the best of them."""
    ours = values_of(results, name, target.ours, target.value)
    theirs = {peer: found for peer in target.peers if (found := values_of(results, name, peer, target.value))}
    if not ours:
        return
    if not target.peers:
        yield judged(Row(results.title(name), target.value, spread(ours)), target, median(ours))
    ratios = {peer: median(ours) / median(values) for peer, values in theirs.items()}
    # The best peer is the one to which our ratio is the worst.
    best = (min if target.bound == "at least" else max)(ratios, key=lambda peer: ratios[peer], default="")
    for peer, ratio in ratios.items():
        row = Row(results.title(name), target.value, spread(ours), peer, spread(theirs[peer]), ratio)
        yield judged(row, target, ratio) if peer == best else row


def values_of(results: Results, name: str, server: str, value: str) -> list[float]:
    return [
        sample.values[value]
        for sample in results.samples
        if (sample.measurement, sample.server) == (name, server) and value in sample.values
    ]


def judged(row: Row, target: Target, number: float) -> Row:
    """Return the row with its target, if there is one, and whether the ratio, or the value alone, is as wanted."""
    if target.wanted is None:
        return row
    reached = number >= target.wanted if target.bound == "at least" else number <= target.wanted
    return replace(row, target=f"{target.bound} {target.wanted:g}", reached=reached)


def all_reached(results: Results) -> bool:
    """Return whether every figure is complete, without problems, and reaches its targets against every peer's best."""
    spoilt = results.left_out or any(sample.problems or sample.errors for sample in results.samples)
    missed = [row for row in rows(results) if row.reached is False]
    measured = {sample.measurement for sample in results.samples}
    return not spoilt and not missed and measured >= set(results.targets)
