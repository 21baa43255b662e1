"""What became slower since an earlier comparison."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from loadtests.results.comparison import Results, Sample
from loadtests.results.medians import Spread, spread

# Medians that are closer than this are the same, however close together the rounds were.
TOLERANCE = 0.03
# Options that change what is measured.
OPTIONS = ("duration", "warm_up", "users", "connections", "app", "path")
# What is told of a machine, but is another moment's in every comparison.
PASSING = ("load_average_before",)
# With fewer rounds nobody knows how far apart two runs of the same server are.
ROUNDS = 3

Key = tuple[str, str, int]
Verdict = Literal["slower", "faster", "within noise"]


@dataclass(frozen=True)
class Measure:
    """A value of a sample, and whether more of it is better."""

    name: str
    value: Callable[[Sample], float]
    more_is_better: bool


MEASURES = (
    Measure("requests/s", lambda sample: sample.load.requests_per_second, more_is_better=True),
    Measure("p50 ms", lambda sample: sample.load.percentiles["50"], more_is_better=False),
    Measure("p99 ms", lambda sample: sample.load.percentiles["99"], more_is_better=False),
    Measure(
        "CPU ms per request",
        lambda sample: 1000 * sample.usage.cpu_seconds / sample.load.requests,
        more_is_better=False,
    ),
)


@dataclass(frozen=True)
class Change:
    """One value of one server in one scenario, before and now."""

    scenario: str
    server: str
    threads: int
    measure: Measure
    before: Spread
    now: Spread

    @property
    def share(self) -> float:
        """By which share of the earlier median it changed."""
        return self.now.median / self.before.median - 1 if self.before.median else 0.0

    @property
    def verdict(self) -> Verdict:
        """Within noise where the rounds of both overlap, or the medians are as good as the same."""
        apart = self.now.greatest < self.before.least or self.now.least > self.before.greatest
        if not apart or abs(self.share) < TOLERANCE:
            return "within noise"
        return "faster" if (self.share > 0) == self.measure.more_is_better else "slower"

    def __str__(self) -> str:
        return (
            f"{self.scenario}, {self.server}, --threads {self.threads}, {self.measure.name}: "
            f"{self.now}, before {self.before}, {self.share:+.0%}"
        )


def changes(before: Results, now: Results) -> Iterator[Change]:
    """Every value of each case that both have, in the order of `now`."""
    earlier = by_case(before)
    for key, samples in by_case(now).items():
        for measure in MEASURES:
            if key in earlier:
                then, today = (spread([measure.value(one) for one in some]) for some in (earlier[key], samples))
                yield Change(*key, measure, then, today)


def by_case(results: Results) -> dict[Key, list[Sample]]:
    cases: dict[Key, list[Sample]] = defaultdict(list)
    for sample in results.samples:
        cases[sample.scenario, sample.server, sample.threads].append(sample)
    return cases


def doubts(before: Results, now: Results) -> list[str]:
    """What makes the two hard to compare, one line each."""
    theirs, ours = conditions(before), conditions(now)
    lines = [
        f"{what} differs: {ours.get(what, 'none')} now, {theirs.get(what, 'none')} before"
        for what in {**ours, **theirs}
        if ours.get(what) != theirs.get(what)
    ]
    rounds = min((len(samples) for some in (before, now) for samples in by_case(some).values()), default=0)
    few = f"some cases have fewer than {ROUNDS} rounds, which is too few to know the noise"
    return lines + ([few] if rounds < ROUNDS else [])


def conditions(results: Results) -> dict[str, Any]:
    """All that has to be the same in two comparisons, but threadserve itself."""
    told = results.facts
    machine = {f"the machine's {name}": value for name, value in told["machine"].items() if name not in PASSING}
    options = {f"--{name.replace('_', '-')}": told["options"].get(name) for name in OPTIONS}
    versions = {
        f"{name}'s {what}": version
        for name, interpreter in told["interpreters"].items()
        for what, version in {"Python": interpreter["version"], **interpreter["packages"]}.items()
        if what != "threadserve"
    }
    return {**machine, **options, **told["load_generators"], **versions}


def report(before: Results, now: Results, file: str) -> str:
    """All of it as text: what became slower first."""
    found = list(changes(before, now))
    earlier = by_case(before)
    new = [f"{scenario}, {server}, --threads {threads}" for scenario, server, threads in by_case(now)]
    unknown = [name for name, key in zip(new, by_case(now), strict=True) if key not in earlier]
    sections = {
        "Hard to compare:": doubts(before, now),
        f"Slower than in {file}:": with_verdict(found, "slower") or ["nothing"],
        f"Faster than in {file}:": with_verdict(found, "faster") or ["nothing"],
        "Within noise:": with_verdict(found, "within noise") or ["nothing"],
        "Not measured before:": unknown,
    }
    return "\n\n".join(
        "\n".join([title, *(f"* {line}" for line in lines)]) for title, lines in sections.items() if lines
    )


def with_verdict(found: list[Change], verdict: Verdict) -> list[str]:
    return [str(change) for change in found if change.verdict == verdict]
