"""The plan of a soak and its record, the findings, and the table."""

import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from loadtests.errors import LoadTestError
from loadtests.soak import flatness
from loadtests.soak.events import Event, Failure, reason_of
from loadtests.soak.flatness import Trend
from loadtests.soak.load import Load
from loadtests.soak.sampling import Sample
from loadtests.soak.serverlog import Entry

# How much of an example is shown.
SHOWN_CHARACTERS = 160
# The warm-up, and what is compared.
FEWEST_RENEWALS = 3
# Into how many periods a run is cut in which workers are not replaced.
PERIODS = 10


@dataclass(frozen=True)
class Plan:
    """The options of a soak, intervals in seconds; 0 is never. Raises LoadTestError where `minutes` are too few."""

    minutes: float
    workers: int
    threads: int
    users: int
    hup_every: float
    die_every: float
    kill_every: float

    def __post_init__(self) -> None:
        if self.seconds < FEWEST_RENEWALS * self.hup_every:
            raise LoadTestError(
                f"in {self.seconds:g} seconds with a SIGHUP every {self.hup_every:g} there is nothing to compare: "
                f"--hup-every {self.seconds / FEWEST_RENEWALS:g} at most"
            )

    @property
    def seconds(self) -> float:
        """For how long there is load."""
        return self.minutes * 60


@dataclass
class Seen:
    """The record of a soak; times are in seconds since the epoch.

    `problems` are what went wrong with the server as a whole, one line each. What is `explained` is counted by what
    explains it.
    """

    plan: Plan
    began: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    load: Load = field(default_factory=Load)
    log: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    was_interrupted: bool = False
    explained: Counter[str] = field(default_factory=Counter)
    unexplained: list[Failure] = field(default_factory=list)
    trends: list[Trend] = field(default_factory=list)

    def judge(self) -> list[str]:
        """Judge what was seen; return what should not be, one line each, and nothing where the server is fine."""
        for failure, reason in self._failures():
            if reason:
                self.explained[f"{reason}: {failure.who.partition(':')[0]}"] += 1
            else:
                self.unexplained.append(failure)
        self.trends = flatness.trends(self.samples, self.plan.hup_every or self.plan.seconds / PERIODS)
        alike = Counter(f"{failure.who}: {shortened(failure.what)}" for failure in self.unexplained)
        return [
            *self.problems,
            *(f"{count} × unexplained: {what}" for what, count in alike.items()),
            *(f"the {trend.unit} of {trend.role}s grow" for trend in self.trends if not trend.is_flat),
            *([] if self.trends or self.was_interrupted else ["too little was seen to tell whether anything grows"]),
        ]

    def _failures(self) -> Iterator[tuple[Failure, str]]:
        """Yield each failure and each serious entry of the log with what explains it, or ""."""
        for failure in self.load.failures:
            yield failure, reason_of(failure, self.events)
        for entry in filter(Entry.is_serious, self.log):
            yield Failure(entry.time, "log", entry.text), entry.reason(self.events)


def shortened(text: str) -> str:
    """Return the first and the last line of a text, so that a traceback shows what it is of."""
    lines = text.strip().splitlines() or [""]
    return textwrap.shorten(" … ".join(dict.fromkeys((lines[0], lines[-1]))), SHOWN_CHARACTERS, placeholder="…")


def table(seen: Seen, findings: list[str]) -> str:
    """Return the verdict to be read."""
    done = Counter(event.kind for event in seen.events)
    clean = "interrupted" if seen.was_interrupted else "clean: no error that is not explained, nothing grows"
    return "\n".join(
        [
            f"answered: {seen.load.requests.total():,} requests and messages of well-behaved clients",
            f"misdeeds: {seen.load.misdeeds.total():,} by clients that vanish, stall and reset",
            f"deaths: {done['thread']} threads, {done['worker']} workers; {done['renewal']} times SIGHUP",
            *(f"explained: {count} × {reason}" for reason, count in sorted(seen.explained.items())),
            f"{'first third':>38}{'last third':>12}{'at most':>10}",
            *map(str, seen.trends),
            *([f"FINDING: {finding}" for finding in findings] or [clean]),
        ]
    )
