"""Measures one figure: every server in turn, round after round, so that what disturbs the machine disturbs all."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtests import latency, memory, wrk
from loadtests.apps.cpu_bound import TURNS_VARIABLE
from loadtests.errors import LoadTestError
from loadtests.figures import JUDGED, SHOWN, Figure
from loadtests.interpreters import ROOT, Interpreter, environment
from loadtests.processes import Running, serving
from loadtests.report import Outcome, Sample
from loadtests.servers import Build, Server

# After the load, connections are closed and freed before memory is read.
SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Effort:
    """How long and how hard to measure; the same for every server."""

    rounds: int
    seconds: int
    warm_up_seconds: int
    load: wrk.Load


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


def needs(figures: Iterable[Figure], build: Build) -> set[str]:
    """The packages that the servers and apps of these figures need on an interpreter of this build."""
    return {
        name
        for figure in figures
        for server in figure.servers
        if server.build == build
        for name in (server.module, *server.requires, *figure.app_requires)
    }


def calibrate(interpreter: Interpreter) -> int:
    """How many turns take the CPU-bound app's time on this machine and interpreter."""
    line = [interpreter.path, "-m", "loadtests.apps.cpu_bound"]
    done = subprocess.run(line, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise LoadTestError(f"the CPU-bound app cannot be timed: {done.stderr.strip()}")
    return int(done.stdout)


def measure(bench: Bench, outcome: Outcome, progress: Callable[[Sample], None]) -> None:
    """All rounds of one figure, added to `outcome` one by one; a failure ends it and is noted there."""
    answers: dict[str, bytes] = {}
    try:
        for number in range(1, bench.effort.rounds + 1):
            for server in outcome.figure.servers:
                sample = one_sample(bench, outcome.figure, server, number, answers)
                outcome.samples.append(sample)
                progress(sample)
    except LoadTestError as error:
        outcome.failure = str(error)
    except KeyboardInterrupt:
        outcome.failure = "interrupted"
        raise


def one_sample(bench: Bench, figure: Figure, server: Server, number: int, answers: dict[str, bytes]) -> Sample:
    """Starts the server, warms it up, measures and stops it. Every server has to give the same answer."""
    python = bench.interpreters[server.build].path
    with tempfile.TemporaryDirectory(prefix="loadtests-") as name:
        folder = Path(name)
        with serving(server, python, figure.app, figure.request, bench.environment, folder) as running:
            require_same_answer(answers, server, running)
            details, problems = measured(bench.effort, figure, running, folder)
        if figure.access_log:
            problems += missing_lines(running, details)
    values = {value: details[value] for value in (*JUDGED[figure.measure], *SHOWN[figure.measure])}
    return Sample(server.label, number, running.command, values, details | {"stopped_by": running.stopped_by}, problems)


def require_same_answer(answers: dict[str, bytes], server: Server, running: Running) -> None:
    answers[server.label] = running.answer
    if len(set(answers.values())) > 1:
        raise LoadTestError(f"{server.label} gives another answer than the others: {running.answer[:200]!r}")


def measured(effort: Effort, figure: Figure, running: Running, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The warm-up, and then what the figure is about: the details with the figure's values, and the problems."""
    warm_up = wrk.run(effort.load, effort.warm_up_seconds, figure.request, running.port, folder)
    details: dict[str, Any] = {"warm_up": asdict(warm_up)}
    problems = [f"{count} {kind} errors in the warm-up" for kind, count in warm_up.errors.items()]
    if figure.measure == "rate":
        result = wrk.run(effort.load, effort.seconds, figure.request, running.port, folder)
        details |= {"wrk": asdict(result), "requests/s": result.requests_per_second}
        problems += [f"{count} {kind} errors" for kind, count in result.errors.items()]
    elif figure.measure == "latency":
        times = latency.run(running.port, effort.seconds)
        details |= asdict(times) | {f"p{rank} ms": latency.percentile(times.quick, rank) for rank in (50, 99)}
        problems += times.failures
    else:
        time.sleep(SETTLE_SECONDS)
        details |= memory.of_tree(running.pid)
    return details, problems


def missing_lines(running: Running, details: dict[str, Any]) -> list[str]:
    """A problem where the access log has fewer lines than there were answers: nobody gains by losing some."""
    requests = details["warm_up"]["requests"] + details["wrk"]["requests"]
    with running.access_log.open("rb") as log:
        lines = sum(1 for _ in log)
    details["access_log_lines"] = lines
    return [f"{requests - lines} of {requests} requests are not in the access log"] if lines < requests else []
