"""Measures the cases: every server in turn, round after round, so that what disturbs the machine disturbs all."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from loadtests.comparing.driving import Effort, drive
from loadtests.comparing.planning import Case
from loadtests.errors import LoadTestError
from loadtests.generators.result import LoadResult
from loadtests.request import Request
from loadtests.results.comparison import Results, Sample, Usage
from loadtests.results.files import portable
from loadtests.results.medians import short
from loadtests.servers.interpreters import ROOT, environment
from loadtests.servers.processes import Running, require_same_answer, serving
from loadtests.servers.usage import Monitor

# The share of a CPU beyond which Locust, which uses one, is what has been measured.
GENERATOR_LIMIT = 0.9
# What CPython prints when an extension module is not ready for free threading.
GIL_WARNING = "The global interpreter lock (GIL) has been enabled"


@dataclass
class Course:
    """The rounds of a comparison as they go on.

    `report` is called after each sample, with what there is to say of it and with the number of samples that are done
    by then: more than one where a server fails, whose others will never come. Applications are looked for in `folder`.
    """

    effort: Effort
    results: Results
    report: Callable[[str, int], None]
    folder: Path = ROOT
    answers: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def run(self, cases: Sequence[Case]) -> None:
        """All rounds of each scenario; a server that fails is noted and left out from then on."""
        for name in dict.fromkeys(case.scenario.name for case in cases):
            remaining = [case for case in cases if case.scenario.name == name]
            for number in range(1, self.effort.rounds + 1):
                remaining = [case for case in remaining if self.measured(case, number)]

    def measured(self, case: Case, number: int) -> bool:
        """Measures once; returns whether the server can go on."""
        try:
            sample = self.sample(case, number)
        except LoadTestError as error:
            failure = f"{case} is left out from round {number} on: {error}"
            self.results.left_out.append(failure)
            self.report(failure, self.effort.rounds + 1 - number)
            return False
        self.results.samples.append(sample)
        self.report("; ".join([f"{case}, round {number}: {summary(sample.load)}", *sample.problems]), 1)
        return True

    def sample(self, case: Case, number: int) -> Sample:
        """Starts the server, puts it under load and stops it; raises LoadTestError where that fails."""
        request = Request(case.scenario.path)
        with tempfile.TemporaryDirectory(prefix="loadtests-") as name:
            folder = Path(name)
            variables = environment() | {"PYTHONPATH": str(ROOT)}
            python = case.interpreter.path
            with serving(case.server, python, case.scenario.app, request, variables, folder, self.folder) as running:
                problems = self.compared(case, running.answer)
                with Monitor(running.pid) as monitor:
                    load = drive(self.effort, case.scenario, running.port, folder)
            problems += problems_of(load, running)
        usage = usage_of(monitor, load)
        command = portable(running.command)
        load = replace(load, command=portable(load.command))
        return Sample(case.scenario.name, case.name, case.threads, number, command, load, usage, problems)

    def compared(self, case: Case, answer: bytes) -> list[str]:
        """Problems of a server's first answer; raises LoadTestError where it had to be that of the others."""
        try:
            require_same_answer(self.answers.setdefault(case.scenario.name, {}), case.name, answer)
        except LoadTestError as error:
            if case.scenario.same_answer:
                raise
            return [str(error)]
        return []


def problems_of(load: LoadResult, running: Running) -> list[str]:
    """What makes a sample doubtful, one line each."""
    problems = []
    if load.cpu_share > GENERATOR_LIMIT:
        problems.append(f"Locust used {load.cpu_share:.0%} of a CPU and was the bottleneck: fewer --users would do")
    if GIL_WARNING in running.log.read_text(errors="replace"):
        problems.append("something that the server imports turned the GIL on")
    if running.stopped_by == "SIGKILL":
        problems.append("the server did not stop and was killed")
    return problems


def usage_of(monitor: Monitor, load: LoadResult) -> Usage:
    """What the server used in the time that was measured."""
    readings = monitor.between(load.began, load.began + load.seconds)
    if not readings:
        raise LoadTestError("the server's processes could not be read")
    last = readings[-1].memory
    return Usage(
        cpu_seconds=monitor.cpu_seconds(load.began, load.began + load.seconds),
        threads=max(reading.threads for reading in readings),
        processes=max(reading.processes for reading in readings),
        pss_mb=last["PSS MB"],
        uss_mb=last["USS MB"],
        rss_mb=last["RSS MB"],
    )


def summary(load: LoadResult) -> str:
    """One sample in a few words."""
    latencies = [f"p{rank} {short(load.percentiles[rank])} ms" for rank in ("50", "99")]
    errors = [f"{count} errors: {kind}" for kind, count in load.errors.items()]
    return ", ".join([f"{short(load.requests_per_second)} requests/s", *latencies, *errors])
