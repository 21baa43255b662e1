"""The record of a run, which is written as JSON after every sample, and the medians of its rounds."""

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

from loadtests.errors import LoadTestError
from loadtests.servers.interpreters import ROOT

FORMAT = "loadtests-2"
CPU = "CPU µs per request"
RATE = "requests/s"
Bound = Literal["at least", "at most"]


@dataclass(frozen=True)
class Sample:
    """One server in one measurement, with so many threads (or workers), in one round.

    `values` are what is compared, `errors` counts by kind, `problems` make the sample doubtful, one line each. `load`
    is the command line of the load generator.
    """

    measurement: str
    server: str
    threads: int
    round: int
    command: list[str]
    values: dict[str, float]
    load: list[str] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


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

    `titles` are those of scenarios by their names; `left_out` says in one line each what was not measured.
    """

    facts: dict[str, Any]
    titles: dict[str, str]
    left_out: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    targets: dict[str, list[Target]] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of one value over the rounds."""

    median: float
    least: float
    greatest: float

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.least)}-{short(self.greatest)})"


def spread(samples: Iterable[Sample], value: str) -> Spread | None:
    """Return the spread of a value over the samples that have it; None where none has."""
    known = [sample.values[value] for sample in samples if value in sample.values]
    return Spread(median(known), min(known), max(known)) if known else None


def short(number: float) -> str:
    """Return a number as text: in full, with one decimal below a thousand, with three digits below ten."""
    if number < 10:
        return f"{number:.3g}"
    return f"{number:.1f}" if number < 1000 else f"{number:,.0f}"


def portable(command: Sequence[str]) -> list[str]:
    """Return a command line as it is kept: without the folder of this clone, and without that of temporary files."""
    return [part.removeprefix(f"{ROOT}/").removeprefix(f"{tempfile.gettempdir()}/") for part in command]


def replace_text(path: Path, text: str) -> None:
    """Write a file, and its folders, in one step: nobody finds it half written. Raises LoadTestError."""
    beside = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text)
        beside.replace(path)
    except OSError as error:
        raise LoadTestError(f"{path} cannot be written: {error.strerror}") from None


def write(path: Path, results: Results) -> None:
    """Write all of it, replacing at once what the file said before; raises LoadTestError."""
    replace_text(path, json.dumps({"format": FORMAT, **asdict(results)}, default=str) + "\n")


def read(path: Path) -> Results:
    """Read what `write` has written; raises LoadTestError for anything else."""
    try:
        told = json.loads(path.read_text())
        if told.pop("format") != FORMAT:
            raise ValueError(FORMAT)
        # Of earlier runs, whose samples had single requests as well.
        samples = [Sample(**{name: part[name] for name in part if name != "timeline"}) for part in told.pop("samples")]
        targets = {name: [Target(**target) for target in some] for name, some in told.pop("targets").items()}
        return Results(**told, samples=samples, targets=targets)
    except OSError as error:
        raise LoadTestError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LoadTestError(f"{path} is no record of the format {FORMAT}") from None
