"""`python -m loadtests figures`: measures the figures, prints the table of results and writes all of it as JSON."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from loadtests.clients import idle
from loadtests.errors import INTERRUPTED
from loadtests.figures import facts, rounds
from loadtests.figures.all import FIGURES, GROUPS, chosen
from loadtests.figures.measuring import Effort, open_at_once
from loadtests.figures.planning import needs, outcomes_of
from loadtests.figures.report import Outcome, all_reached, markdown, write_json
from loadtests.generators import wrk
from loadtests.servers.commands import Build
from loadtests.servers.interpreters import INTERPRETER, ROOT, find

NAMES = [*GROUPS, *(figure.name for figure in FIGURES)]


@dataclass(frozen=True)
class Given:
    """The command's arguments and options."""

    figure: tuple[str, ...]
    ordinary_python: Path | None
    free_threaded_python: Path | None
    rounds: int
    duration: int
    warm_up: int
    threads: int
    connections: int
    idle_connections: int
    output: Path | None


def prepare(given: Given) -> tuple[list[Outcome], rounds.Bench]:
    """The figures asked for and what measures them; raises LoadTestError where something is missing."""
    figures = chosen(given.figure)
    builds = {server.build for figure in figures for server in figure.servers}
    paths: dict[Build, Path | None] = {"ordinary": given.ordinary_python, "free-threaded": given.free_threaded_python}
    found = {build: find(build, paths[build]) for build in sorted(builds)}
    outcomes = outcomes_of(figures, found)
    kept = [outcome.figure for outcome in outcomes]
    interpreters = {build: interpreter.with_only(needs(kept, build)) for build, interpreter in found.items()}
    load = wrk.Load(given.threads, given.connections)
    effort = Effort(given.rounds, given.duration, given.warm_up, load, given.idle_connections)
    for figure in kept:
        idle.allow_files(open_at_once(figure, effort))
    calibrated = interpreters.get("free-threaded") or interpreters["ordinary"]
    return outcomes, rounds.Bench(effort, interpreters, rounds.calibrate(calibrated))


def run(outcomes: list[Outcome], bench: rounds.Bench, output: Path, told: dict[str, Any]) -> int:
    """Measures one figure after the other; returns the exit code. What was measured is kept when it is interrupted."""
    code = 0
    try:
        for outcome in outcomes:
            print(f"== {outcome.figure.name}: {outcome.figure.title}", file=sys.stderr)

            def progress(line: str) -> None:
                print(line, file=sys.stderr)
                write_json(output, told, outcomes)

            rounds.measure(bench, outcome, progress)
    except KeyboardInterrupt:
        code = INTERRUPTED
    write_json(output, told, outcomes)
    begun = [outcome for outcome in outcomes if outcome.samples or outcome.failure]
    print(f"{facts.describe(told)}\n\n{markdown(begun)}")
    print(f"Everything is in {output}", file=sys.stderr)
    return code or (0 if all_reached(outcomes) else 1)


@click.command(name="figures", epilog=f"Groups of figures: {', '.join(GROUPS)}.")
@click.argument("figure", nargs=-1, type=click.Choice(NAMES), metavar="[FIGURE]...")
@click.option("--ordinary-python", type=INTERPRETER, help="CPython 3.13.  [default: build/loadtests/3.13]")
@click.option("--free-threaded-python", type=INTERPRETER, help="3.13t.  [default: build/loadtests/3.13t]")
@click.option("--rounds", type=click.IntRange(1, 50), default=5, show_default=True, help="Of all servers in turn.")
@click.option("--duration", type=click.IntRange(1, 60), default=2, show_default=True, help="Seconds measured.")
@click.option("--warm-up", type=click.IntRange(1, 60), default=1, show_default=True, help="Seconds before that.")
@click.option("--threads", type=click.IntRange(1, 16), default=2, show_default=True, help="Of wrk.")
@click.option("--connections", type=click.IntRange(1, 1000), default=64, show_default=True, help="Of wrk.")
@click.option(
    "--idle-connections",
    type=click.IntRange(10, 10_000),
    default=2000,
    show_default=True,
    help="Of each kind, in ws-idle.",
)
@click.option("--output", type=click.Path(path_type=Path), help="JSON.  [default: build/loadtests/DATE.json]")
def figures(**options: Any) -> int:
    """Measures the figures that have a target: all, or those named by themselves or by their group.

    The exit code is 0 if every target is reached, 1 if not, 2 if nothing can be measured, 130 after SIGINT or SIGTERM.
    """
    given = Given(**options)
    if given.connections < given.threads:
        raise click.BadParameter("wrk needs a connection for each of its threads", param_hint="'--connections'")
    outcomes, bench = prepare(given)
    told = facts.collect(bench)
    left_out = [f"{outcome.figure.name}: {line}" for outcome in outcomes for line in outcome.left_out]
    for line in (*facts.doubts(told, bench), *left_out):
        print(f"Note: {line}", file=sys.stderr)
    output = given.output or ROOT / f"build/loadtests/{told['date'].replace(':', '')}.json"
    return run(outcomes, bench, output, told)
