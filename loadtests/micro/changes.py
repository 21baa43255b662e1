"""What became slower or quicker, between two subjects of a run or since an earlier run."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import quantiles
from typing import Literal

from loadtests.micro.results import Results

# What these benchmarks can tell from noise.
TOLERANCE = 0.03

Verdict = Literal["slower", "quicker", ""]
# Results and the label of a subject in them.
Side = tuple[Results, str]


@dataclass(frozen=True)
class Change:
    """One benchmark, before and now, in CPU microseconds by process."""

    benchmark: str
    before: list[float]
    now: list[float]

    @property
    def ratio(self) -> float:
        """Now divided by before."""
        return cost(self.now) / cost(self.before)

    @property
    def verdict(self) -> Verdict:
        """Empty for what is within the noise: a small change, or the quicker halves of the processes overlap."""
        (before_low, before_middle), (low, middle) = quicker_half(self.before), quicker_half(self.now)
        if abs(self.ratio - 1) < TOLERANCE or (low <= before_middle and middle >= before_low):
            return ""
        return "slower" if self.ratio > 1 else "quicker"


def doubts(before: Results, now: Results) -> list[str]:
    """What makes two runs hard to compare, one line each."""
    then, today = before.facts.get("machine", {}), now.facts["machine"]
    return [
        f"the earlier run's machine is another: {name} was {then.get(name)}, and is {today[name]}"
        for name in ("cpu", "cpus", "kernel")
        if then.get(name) != today[name]
    ]


def changes(before: Side, now: Side) -> Iterator[Change]:
    """Every benchmark that both sides have, in the order of `now`."""
    (earlier, old), (results, new) = before, now
    for benchmark in results.benchmarks:
        then, today = earlier.costs(old, benchmark), results.costs(new, benchmark)
        if then and today:
            yield Change(benchmark, then, today)


def cost(costs: list[float]) -> float:
    """What an operation costs, by what it did in each process: the lower quartile.

    Other processes on the machine only make an operation slower; but a single process may have its memory laid out
    so well that the least is as much of an accident.
    """
    return quicker_half(costs)[0]


def quicker_half(costs: list[float]) -> tuple[float, float]:
    """The lower quartile and the median; of a single process what it measured."""
    if len(costs) == 1:
        return costs[0], costs[0]
    low, middle, _ = quantiles(costs, n=4, method="inclusive")
    return low, middle
