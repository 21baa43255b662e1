"""The rounds of a run: every server in turn, again and again, so that what disturbs the machine disturbs all."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path

import psutil

from loadtests.errors import LoadTestError
from loadtests.harness.measurement import Effort, Entry, Measured, Subject
from loadtests.micro import callgrind
from loadtests.results.files import portable
from loadtests.results.medians import short
from loadtests.results.record import Results, Sample
from loadtests.servers.interpreters import ROOT, environment
from loadtests.servers.processes import Running, serving

# What CPython prints when an extension module is not ready for free threading.
GIL_WARNING = "The global interpreter lock (GIL) has been enabled"
INSTRUCTIONS = "instructions per request"


@dataclass
class Course:
    """The rounds as they go on.

    `report` is called after each sample, with what there is to say of it and with the number of samples that are done
    by then: more than one where a server fails, whose others will never come. Servers run with `variables`, and look
    for applications in `folder`.
    """

    effort: Effort
    results: Results
    report: Callable[[str, int], None]
    variables: dict[str, str] = field(default_factory=environment)
    folder: Path = ROOT
    answers: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def run(self, entries: Sequence[Entry]) -> None:
        """Go through all rounds of each measurement; a server that fails is noted and left out from then on.

        Where one fails that is needed, the others of its measurement are left out as well.
        """
        for _, group in groupby(entries, key=lambda entry: entry.measurement.name):
            remaining = list(group)
            rounds = remaining[0].rounds(self.effort)
            for number in range(1, rounds + 1):
                for entry in tuple(remaining):
                    if entry in remaining and not self.measured(entry, number):
                        gone = remaining if entry.is_needed else [entry]
                        self.report(self.results.left_out[-1], len(gone) * (rounds + 1 - number))
                        remaining = [other for other in remaining if other not in gone]

    def measured(self, entry: Entry, number: int) -> bool:
        """Measure once; return whether the server can go on."""
        try:
            sample = self.sample(entry, number)
        except LoadTestError as error:
            self.results.left_out.append(f"{entry} is left out from round {number} on: {error}")
            return False
        self.results.samples.append(sample)
        told = [f"{short(sample.values[name])} {name}" for name in entry.measurement.shown if name in sample.values]
        told += [f"{count} errors: {kind}" for kind, count in sample.errors.items()]
        self.report("; ".join([f"{entry}, round {number}: {', '.join(told)}", *sample.problems]), 1)
        return True

    def sample(self, entry: Entry, number: int) -> Sample:
        """Start the server, put it under load and stop it; raises LoadTestError where that fails."""
        command, measured = self.counted(entry) if entry.measurement.benchmark else self.loaded(entry)
        measured.load = portable(measured.load)
        return Sample(entry.measurement.name, entry.name, entry.threads, number, portable(command), **asdict(measured))

    def loaded(self, entry: Entry) -> tuple[list[str], Measured]:
        """Return the server's command line and what its load has measured."""
        measurement, server, python = entry.measurement, entry.server, entry.interpreter.path
        request = measurement.request
        with tempfile.TemporaryDirectory(prefix="loadtests-") as name:
            files = Path(name)
            with serving(server, python, measurement.app, request, self.variables, files, self.folder) as running:
                doubts = self.compared(entry, running.answer)
                try:
                    measured = measurement.load(Subject(self.effort, request, server, running, files))
                except psutil.Error as error:
                    raise LoadTestError(f"the server's processes cannot be read: {error}") from None
            measured.problems += [*doubts, *problems_of(running, measured, with_log=measurement.access_log)]
        return running.command, measured

    def counted(self, entry: Entry) -> tuple[list[str], Measured]:
        """Count instructions without a server; raises LoadTestError where it is not the wanted form of threadserve."""
        variables = entry.server.variables
        found = callgrind.count(entry.interpreter.path, entry.measurement.benchmark, self.variables | variables)
        if entry.server.interpreted and found.form != "interpreted":
            raise LoadTestError(f"threadserve was {found.form}, although {', '.join(variables)} was set")
        command = [*(f"{name}={value}" for name, value in variables.items()), *found.command]
        return command, Measured({INSTRUCTIONS: found.instructions}, details={"form": found.form})

    def compared(self, entry: Entry, answer: bytes) -> list[str]:
        """Return a problem where another server gave another first answer; raises LoadTestError where that matters."""
        answers = self.answers.setdefault(entry.measurement.name, {})
        if all(other == answer for other in answers.values()):
            answers[entry.name] = answer
            return []
        problem = f"{entry.name} gives another answer than the others: {answer[:200]!r}"
        if entry.measurement.same_answer:
            raise LoadTestError(problem)
        return [problem]


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
