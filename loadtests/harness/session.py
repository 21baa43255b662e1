"""One run of a command: every server in turn, again and again, so that what disturbs the machine disturbs all."""

import tempfile
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path

import click
import psutil

from loadtests import results as record
from loadtests.errors import INTERRUPTED, LoadTestError, require
from loadtests.harness.measurement import Effort, Entry, Measured, Subject
from loadtests.results import Results, Sample, portable, short
from loadtests.servers.interpreters import ROOT, environment
from loadtests.servers.processes import Running, serving

# Seconds that a sample takes beyond its load.
START_AND_STOP_SECONDS = 3
# What CPython prints when an extension module is not ready for free threading.
GIL_WARNING = "The global interpreter lock (GIL) has been enabled"


@dataclass
class Session:
    """The entries of a run, and the file that is written anew after each sample.

    Servers run with `variables`, and look for applications in `folder`.
    """

    entries: list[Entry]
    effort: Effort
    results: Results
    path: Path
    variables: dict[str, str] = field(default_factory=environment)
    folder: Path = ROOT
    answers: dict[str, bytes] = field(default_factory=dict)

    def run(self) -> int:
        """Measure all entries; return the exit code.

        Raises LoadTestError where the file cannot be written, or nothing could be measured.
        """
        effort, results = self.effort, self.results
        require(self.entries, f"nothing can be measured: {'; '.join(results.left_out)}")
        record.write(self.path, results)
        total = len(self.entries) * effort.rounds
        minutes = total * (effort.warm_up + effort.duration + START_AND_STOP_SECONDS) / 60
        busy = results.facts["machine"]["load_average_before"]
        told = f"{total} samples will take about {minutes:.0f} minutes; the load average is {busy:.1f}"
        click.echo("\n".join([*results.left_out, told]), err=True)
        try:
            for _, group in groupby(self.entries, key=lambda entry: entry.measurement.name):
                self.measure(list(group))
        except KeyboardInterrupt:
            results.left_out.append(f"interrupted: {len(results.samples)} of {total} samples were measured")
            record.write(self.path, results)
            return INTERRUPTED
        require(results.samples, f"nothing could be measured; {self.path} says why")
        return 0

    def measure(self, remaining: list[Entry]) -> None:
        """Go through the rounds of one measurement; a server that fails is noted and left out from then on."""
        rounds = self.effort.rounds
        for number in range(1, rounds + 1):
            for entry in tuple(remaining):
                try:
                    sample = self.sample(entry, number)
                    self.results.samples.append(sample)
                    line = f"{entry}, round {number} of {rounds}: {shown(sample, entry)}"
                except LoadTestError as error:
                    line = f"{entry} is left out from round {number} on: {error}"
                    self.results.left_out.append(line)
                    remaining.remove(entry)
                record.write(self.path, self.results)
                click.echo(line, err=True)

    def sample(self, entry: Entry, number: int) -> Sample:
        """Start the server, put it under load and stop it; raises LoadTestError where that fails."""
        alone = entry.measurement.alone
        command, measured = alone(entry, self.variables) if alone else self.loaded(entry)
        measured.load = portable(measured.load)
        return Sample(entry.measurement.name, entry.name, entry.threads, number, portable(command), **asdict(measured))

    def loaded(self, entry: Entry) -> tuple[list[str], Measured]:
        """Return the server's command line and what its load has measured."""
        measurement, server, python = entry.measurement, entry.server, entry.interpreter.path
        request = measurement.request
        with tempfile.TemporaryDirectory(prefix="loadtests-") as name:
            files = Path(name)
            with serving(server, python, measurement.app, request, self.variables, files, self.folder) as running:
                doubts = self.doubts(entry, running.answer)
                try:
                    measured = measurement.load(Subject(self.effort, request, server, running, files))
                except psutil.Error as error:
                    raise LoadTestError(f"the server's processes cannot be read: {error}") from None
            measured.problems += [*doubts, *problems_of(running, measured, with_log=measurement.access_log)]
        return running.command, measured

    def doubts(self, entry: Entry, answer: bytes) -> list[str]:
        """Return a problem where another server gave another first answer; raises LoadTestError where that matters."""
        if self.answers.setdefault(entry.measurement.name, answer) == answer:
            return []
        problem = f"{entry.name} gives another answer than the others: {answer[:200]!r}"
        require(not entry.measurement.same_answer, problem)
        return [problem]


def shown(sample: Sample, entry: Entry) -> str:
    """Return what is shown of a sample in one line."""
    values = [f"{short(sample.values[name])} {name}" for name in entry.measurement.shown if name in sample.values]
    return "; ".join([*values, *(f"{count} errors: {kind}" for kind, count in sample.errors.items()), *sample.problems])


def problems_of(running: Running, measured: Measured, *, with_log: bool) -> list[str]:
    """Return what makes the sample of a server doubtful that has been stopped, one line each.

    With an access log that is too few lines in it: nobody gains by losing some.
    """
    lines = len(running.access_log.read_bytes().splitlines()) if with_log else 0
    lost = measured.details["requests"] - lines if with_log else 0
    problems = {
        "something that the server imports turned the GIL on": GIL_WARNING in running.log.read_text(errors="replace"),
        "the server did not stop and was killed": running.stopped_by == "SIGKILL",
        f"{lost} of {lines + lost} requests are not in the access log": lost > 0,
    }
    return [problem for problem, is_there in problems.items() if is_there]
