"""Measures one figure: every server in turn, round after round, so that what disturbs the machine disturbs all."""

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.apps.cpu_bound import TURNS_VARIABLE
from loadtests.counting import callgrind
from loadtests.errors import LoadTestError
from loadtests.figures.figure import INSTRUCTIONS, Figure
from loadtests.figures.measuring import Effort, Subject, measured
from loadtests.figures.report import Outcome, Sample
from loadtests.results.files import portable
from loadtests.servers.commands import Build, Server
from loadtests.servers.interpreters import ROOT, Interpreter, environment
from loadtests.servers.processes import Running, require_same_answer, serving


@dataclass(frozen=True)
class Bench:
    """What all figures of one run share. `cpu_turns` makes the CPU-bound app take its time on this machine."""

    effort: Effort
    interpreters: dict[Build, Interpreter]
    cpu_turns: int

    @property
    def environment(self) -> dict[str, str]:
        """The servers' environment."""
        return environment() | {TURNS_VARIABLE: str(self.cpu_turns)}


def calibrate(interpreter: Interpreter) -> int:
    """How many turns take the CPU-bound app's time on this machine and interpreter."""
    line = [interpreter.path, "-m", "loadtests.apps.cpu_bound"]
    done = subprocess.run(line, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise LoadTestError(f"the CPU-bound app cannot be timed: {done.stderr.strip()}")
    return int(done.stdout)


def measure(bench: Bench, outcome: Outcome, progress: Callable[[str], None]) -> None:
    """All rounds of one figure, added to `outcome` one by one; `progress` is called with a line on each sample.

    A failure of ours ends the figure, a peer that fails is left out from then on; either is noted in `outcome`.
    """
    answers: dict[str, bytes] = {}
    remaining = list(outcome.figure.servers)
    try:
        for number in range(1, (1 if outcome.figure.is_exact else bench.effort.rounds) + 1):
            for server in tuple(remaining):
                try:
                    outcome.samples.append(one_sample(bench, outcome.figure, server, number, answers))
                    progress(str(outcome.samples[-1]))
                except LoadTestError as error:
                    if server == outcome.figure.ours:
                        raise
                    remaining.remove(server)
                    outcome.left_out.append(f"{server.label} is left out from round {number} on: {error}")
                    progress(outcome.left_out[-1])
    except LoadTestError as error:
        outcome.failure = str(error)
        progress(outcome.failure)
    except KeyboardInterrupt:
        outcome.failure = "interrupted"
        raise


def one_sample(bench: Bench, figure: Figure, server: Server, number: int, answers: dict[str, bytes]) -> Sample:
    """Starts the server, warms it up, measures and stops it. Every server has to give the same answer."""
    if figure.is_exact:
        return instructions_of(bench, figure, server, number)
    python = bench.interpreters[server.build].path
    with tempfile.TemporaryDirectory(prefix="loadtests-") as name:
        folder = Path(name)
        with serving(server, python, figure.app, figure.request, bench.environment, folder) as running:
            require_same_answer(answers, server.label, running.answer)
            details, problems = measured(Subject(bench.effort, figure, server, running, folder))
        if figure.access_log:
            problems += missing_lines(running, details)
    values = {value: details[value] for value in figure.values}
    return Sample(
        server.label, number, portable(running.command), values, details | {"stopped_by": running.stopped_by}, problems
    )


def instructions_of(bench: Bench, figure: Figure, server: Server, number: int) -> Sample:
    """Counts without a server; raises LoadTestError where it is not the form of threadserve that is wanted."""
    python = bench.interpreters[server.build].path
    counted = callgrind.count(python, figure.benchmark, bench.environment | server.variables)
    if server.interpreted and counted.form != "interpreted":
        raise LoadTestError(f"threadserve was {counted.form}, although {', '.join(server.variables)} was set")
    values = {INSTRUCTIONS: counted.instructions}
    command = [*(f"{name}={value}" for name, value in server.variables.items()), *portable(counted.command)]
    return Sample(server.label, number, command, values, {"form": counted.form}, [])


def missing_lines(running: Running, details: dict[str, Any]) -> list[str]:
    """A problem where the access log has fewer lines than there were answers: nobody gains by losing some."""
    requests = details["warm_up"]["requests"] + details["load"]["requests"]
    with running.access_log.open("rb") as log:
        lines = sum(1 for _ in log)
    details["access_log_lines"] = lines
    return [f"{requests - lines} of {requests} requests are not in the access log"] if lines < requests else []
