"""What was measured, and how it is kept."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.results.files import read_results, replace_text

FORMAT = "loadtests-micro-1"


@dataclass(frozen=True)
class Sample:
    """One benchmark in one process.

    `subject` is the label of what was measured. `least` and `median` are CPU microseconds of one operation over the
    repeats, `switches` how often a thread waited for another in one, the median of the repeats.
    """

    subject: str
    benchmark: str
    process: int
    least: float
    median: float
    switches: float


@dataclass
class Results:
    """All samples of one run. `facts` are as JSON takes them: date, commit, machine, subjects, options."""

    facts: dict[str, Any]
    samples: list[Sample] = field(default_factory=list)

    @property
    def subjects(self) -> list[str]:
        """The labels of what was measured, in the order of the measurement."""
        return list(dict.fromkeys(sample.subject for sample in self.samples))

    @property
    def benchmarks(self) -> list[str]:
        """The names of what was measured, in the order of the measurement."""
        return list(dict.fromkeys(sample.benchmark for sample in self.samples))

    def costs(self, subject: str, benchmark: str) -> list[float]:
        """CPU microseconds of one operation in each process: of its repeats the least disturbed one."""
        return [sample.least for sample in self._of(subject, benchmark)]

    def switches(self, subject: str, benchmark: str) -> float:
        """How often a thread waits for another in one operation, which has to have been measured."""
        return median(sample.switches for sample in self._of(subject, benchmark))

    def _of(self, subject: str, benchmark: str) -> Iterator[Sample]:
        return (sample for sample in self.samples if (sample.subject, sample.benchmark) == (subject, benchmark))


def write(path: Path, results: Results) -> None:
    """Writes all of it, replacing at once what the file said before; raises LoadTestError where that cannot be done."""
    try:
        replace_text(path, json.dumps({"format": FORMAT, **asdict(results)}, indent=1) + "\n")
    except OSError as error:
        raise LoadTestError(f"{path} cannot be written: {error.strerror}") from None


def read(path: Path) -> Results:
    """Reads what `write` has written; raises LoadTestError for anything else."""
    return read_results(path, "micro", FORMAT, results_of)


def results_of(told: dict[str, Any]) -> Results:
    return Results(dict(told["facts"]), [Sample(**sample) for sample in told["samples"]])
