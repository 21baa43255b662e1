"""The record of a run, the one source of every report: its samples, and all that is needed to trace a figure."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from loadtests.generators.result import LoadResult
from loadtests.results.files import read_results, replace_text

FORMAT = "loadtests-2"
# Of earlier runs of `compare`; they can still be read.
FIRST_FORMAT = "loadtests-compare-1"
CPU = "CPU µs per request"
RATE = "requests/s"
Bound = Literal["at least", "at most"]


@dataclass(frozen=True)
class Sample:
    """One server in one measurement, with so many threads (or workers), in one round.

    `server` is the name by which it is told from the others. `values` are what is compared, `errors` counts by kind,
    `problems` make the sample doubtful, one line each. `load` is the command line of the load generator; `timeline` has
    `(seconds since the start, milliseconds)` of single requests where they are wanted.
    """

    measurement: str
    server: str
    threads: int
    round: int
    command: list[str]
    values: dict[str, float]
    load: list[str] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    timeline: list[tuple[float, float]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.server}, --threads {self.threads}" if self.threads else self.server


@dataclass(frozen=True)
class Target:
    """A value of `ours` and what is wanted of it: of its ratio to the best of `peers`, or of itself without peers.

    Without `wanted` it is only shown.
    """

    value: str
    bound: Bound
    wanted: float | None
    ours: str
    peers: list[str] = field(default_factory=list)


@dataclass
class Results:
    """A whole run. `facts` are as JSON takes them: date, commit, machine, interpreters with versions, options.

    `titles` has one for each measurement, in the order of the report; `left_out` says in one line each what was not
    measured and why.
    """

    facts: dict[str, Any]
    titles: dict[str, str]
    left_out: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    targets: dict[str, list[Target]] = field(default_factory=dict)

    def title(self, name: str) -> str:
        """Return the title of a measurement, its name where there is none."""
        return self.titles.get(name, name)


def write(path: Path, results: Results) -> None:
    """Write all of it, replacing at once what the file said before."""
    replace_text(path, json.dumps({"format": FORMAT, **asdict(results)}) + "\n")


def read(path: Path) -> Results:
    """Read what `write` has written, or an earlier version of it; raises LoadTestError for anything else."""
    return read_results(path, "compare", (FORMAT, FIRST_FORMAT), results_of)


def results_of(told: dict[str, Any]) -> Results:
    if told["format"] == FIRST_FORMAT:
        samples = [first_sample(**sample) for sample in told["samples"]]
        return Results(dict(told["facts"]), dict(told["scenarios"]), list(told["left_out"]), samples)
    samples = [Sample(**sample | {"timeline": pairs(sample["timeline"])}) for sample in told["samples"]]
    targets = {name: [Target(**target) for target in some] for name, some in told["targets"].items()}
    return Results(dict(told["facts"]), dict(told["titles"]), list(told["left_out"]), samples, targets)


def first_sample(scenario: str, load: dict[str, Any], usage: dict[str, Any], **told: Any) -> Sample:
    """Return a sample of the first format, in which the load's values and the server's usage were apart."""
    load.pop("by_name")
    result = LoadResult(**load)
    values = result.values | {f"{kind.upper()} MB": usage[f"{kind}_mb"] for kind in ("pss", "uss", "rss")}
    values["OS threads"] = usage["threads"]
    if result.requests:
        values[CPU] = 1_000_000 * usage["cpu_seconds"] / result.requests
    timeline = pairs(load["timeline"])
    return Sample(scenario, values=values, load=result.command, errors=result.errors, timeline=timeline, **told)


def pairs(timeline: list[list[float]]) -> list[tuple[float, float]]:
    return [(at, taken) for at, taken in timeline]
