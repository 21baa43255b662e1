"""The changes since an earlier comparison: values that became slower or faster, or stayed within the noise."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from loadtests.reports.summary import Case, Summary
from loadtests.results.medians import Spread
from loadtests.results.record import CPU, RATE, Results

# Medians that are closer than this are the same, however close together the rounds were.
TOLERANCE = 0.03
# Facts that are another moment's in every run, and the one package that this is about.
PASSING = ("load_average_before", "threadserve", "path", "form", "free_threaded", "gil_enabled")
# Facts, and the options among them, that have to be the same.
CONDITIONS = ("machine", "interpreters", "load_generators", "options")
OPTIONS = ("duration", "warm_up", "users", "connections", "app", "path")
# With fewer rounds nobody knows how far apart two runs of the same server are.
ROUNDS = 3
# More of the first is better, less of the others.
VALUES = (RATE, "p50 ms", "p99 ms", CPU)

Key = tuple[str, str, int]
Verdict = Literal["slower", "faster", "within noise"]


@dataclass(frozen=True)
class Change:
    """One value of one server in one scenario, before and now."""

    case: Case
    value: str
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
        return "faster" if (self.share > 0) == (self.value == RATE) else "slower"

    def __str__(self) -> str:
        return f"{self.case}, {self.value}: {self.now}, before {self.before}, {self.share:+.0%}"


def cases(results: Results) -> dict[Key, Case]:
    return {(case.scenario, case.server, case.threads): case for case in Summary(results).cases}


def changes(before: Results, now: Results) -> Iterator[Change]:
    """Every value of each case that both have, in the order of `now`."""
    earlier = cases(before)
    for key, case in cases(now).items():
        for value in VALUES:
            then, today = earlier[key].spread(value) if key in earlier else None, case.spread(value)
            if then and today:
                yield Change(case, value, then, today)


def doubts(before: Results, now: Results) -> list[str]:
    """Return what makes the two hard to compare, one line each."""
    theirs, ours = conditions(before), conditions(now)
    lines = [
        f"{what} differs: {ours.get(what, 'none')} now, {theirs.get(what, 'none')} before"
        for what in {**ours, **theirs}
        if ours.get(what) != theirs.get(what)
    ]
    rounds = min((len(case.samples) for some in (before, now) for case in cases(some).values()), default=0)
    few = f"some cases have fewer than {ROUNDS} rounds, which is too few to know the noise"
    return lines + ([few] if rounds < ROUNDS else [])


def conditions(results: Results) -> dict[str, Any]:
    """Return all that has to be the same in two comparisons, but threadserve itself."""
    told = {name: results.facts[name] for name in CONDITIONS}
    told["options"] = {f"--{name.replace('_', '-')}": told["options"].get(name) for name in OPTIONS}
    return dict(flattened(told))


def flattened(told: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Every fact with the names of what it is in, but those that pass."""
    for name, value in told.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{within}{name} ")
        elif name not in PASSING:
            yield f"{within}{name}", value


def report(before: Results, now: Results, file: str) -> str:
    """Return all of it as text: what became slower first."""
    found = list(changes(before, now))
    earlier = cases(before)
    sections = {
        "Hard to compare:": doubts(before, now),
        f"Slower than in {file}:": with_verdict(found, "slower") or ["nothing"],
        f"Faster than in {file}:": with_verdict(found, "faster") or ["nothing"],
        "Within noise:": with_verdict(found, "within noise") or ["nothing"],
        "Not measured before:": [str(case) for key, case in cases(now).items() if key not in earlier],
    }
    return "\n\n".join(
        "\n".join([title, *(f"* {line}" for line in lines)]) for title, lines in sections.items() if lines
    )


def with_verdict(found: list[Change], verdict: Verdict) -> list[str]:
    return [str(change) for change in found if change.verdict == verdict]
