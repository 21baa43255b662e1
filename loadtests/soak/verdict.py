"""The plan of a soak and its record, the findings, and the table."""

import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from loadtests.generators.locust import Finished
from loadtests.soak import sampling
from loadtests.soak.failures import RENEWAL, THREAD, WORKER, Event, Failure
from loadtests.soak.sampling import Sample, Trend

# How much of an example is shown.
SHOWN_CHARACTERS = 160
# Into how many periods a run is cut in which workers are not replaced, and how many seconds they have at least.
PERIODS, SHORTEST_PERIOD = 10, 3.0


@dataclass(frozen=True)
class Plan:
    """The options of a soak; intervals are in seconds, and 0 is never."""

    minutes: float
    workers: int
    threads: int
    users: int
    hup_every: float
    die_every: float
    kill_every: float

    @property
    def seconds(self) -> float:
        """For how long there is load."""
        return self.minutes * 60


@dataclass
class Seen:
    """The record of a soak; times are in seconds since the epoch.

    `answered` counts by name what clients were answered, or did. `problems` are what went wrong with the server as a
    whole, one line each. What is `explained` is counted by what explains it.
    """

    plan: Plan
    began: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    was_interrupted: bool = False
    explained: Counter[str] = field(default_factory=Counter)
    unexplained: list[Failure] = field(default_factory=list)
    trends: list[Trend] = field(default_factory=list)

    def take_in(self, rows: Iterable[Finished]) -> None:
        """Add what Locust has recorded of each request."""
        for row in rows:
            if row.error:
                self.failures.append(Failure(row.ended, row.name, row.error))
            else:
                self.answered[row.name] += 1

    def judge(self) -> list[str]:
        """Judge what was seen; return what should not be, one line each, and nothing where the server is fine."""
        for failure in self.failures:
            if reason := failure.reason(self.events):
                self.explained[reason] += 1
            else:
                self.unexplained.append(failure)
        period = max(SHORTEST_PERIOD, self.plan.hup_every or self.plan.seconds / PERIODS)
        self.trends = sampling.trends(self.samples, period)
        alike = Counter(f"{failure.who}: {shortened(failure.what)}" for failure in self.unexplained)
        return [
            *self.problems,
            *(f"{count} × unexplained: {what}" for what, count in alike.items()),
            *(f"growing: {trend.name}" for trend in self.trends if trend.last > trend.most),
            *([] if self.trends or self.was_interrupted else ["too little was seen to tell whether anything grows"]),
            *([] if self.answered or self.was_interrupted else ["no client was answered"]),
        ]

    def table(self, findings: list[str]) -> str:
        """Return the verdict to be read."""
        done = Counter(event.kind for event in self.events)
        misdeeds = sum(count for name, count in self.answered.items() if name.startswith("chaos: "))
        clean = "interrupted" if self.was_interrupted else "clean: no error that is not explained, nothing grows"
        return "\n".join(
            [
                f"answered: {self.answered.total() - misdeeds:,} requests and messages of well-behaved clients",
                f"misdeeds: {misdeeds:,} by clients that vanish, stall and reset",
                f"deaths: {done[THREAD]} threads, {done[WORKER]} workers; {done[RENEWAL]} times SIGHUP",
                *(f"explained: {count} × {reason}" for reason, count in sorted(self.explained.items())),
                f"{'at first':>38}{'in the end':>12}{'at most':>10}",
                *(f"{one.name:26}{one.first:12.1f}{one.last:12.1f}{one.most:10.1f}" for one in self.trends),
                *([f"FINDING: {finding}" for finding in findings] or [clean]),
            ]
        )


def shortened(text: str) -> str:
    """Return the first and the last line of a text, so that a traceback shows what it is of."""
    lines = text.strip().splitlines() or [""]
    return textwrap.shorten(" … ".join(dict.fromkeys((lines[0], lines[-1]))), SHOWN_CHARACTERS, placeholder="…")
