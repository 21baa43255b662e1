"""`python -m loadtests figures`: measures the figures, prints the table of results and writes all of it as JSON."""

import subprocess
from pathlib import Path
from typing import Any

import click

from loadtests.apps.cpu_bound import TURNS_VARIABLE
from loadtests.clients import resting
from loadtests.errors import LoadTestError
from loadtests.figures import asgi, wsgi
from loadtests.figures.figure import Figure
from loadtests.figures.titles import GROUPS, TITLES
from loadtests.generators import wrk
from loadtests.harness.measurement import Effort, Entry, plan
from loadtests.harness.session import Session, effort_of, effort_options, facts, number
from loadtests.reports import targets
from loadtests.reports.sections import markdown
from loadtests.results.record import Results
from loadtests.servers.commands import Build
from loadtests.servers.interpreters import INTERPRETER, ROOT, Interpreter, environment, find

# In the order of the titles.
FIGURES = sorted((*asgi.FIGURES, *wsgi.FIGURES), key=lambda figure: list(TITLES).index(figure.name))
NAMES = [*GROUPS, *TITLES]


def chosen(names: tuple[str, ...]) -> list[Figure]:
    """Return the figures of these names, and of groups of these names, in the order of the table; without any all."""
    wanted = {name for group in names for name in GROUPS.get(group, [group])}
    return [figure for figure in FIGURES if not names or figure.name in wanted]


def calibrate(interpreter: Interpreter) -> int:
    """Return how many turns take the CPU-bound app's time on this machine and interpreter; raises LoadTestError."""
    line = [interpreter.path, "-m", "loadtests.apps.cpu_bound"]
    done = subprocess.run(line, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise LoadTestError(f"the CPU-bound app cannot be timed: {done.stderr.strip()}")
    return int(done.stdout)


def prepare(names: tuple[str, ...], pythons: dict[Build, Path | None], effort: Effort, options: Any) -> Session:
    """Plan the figures asked for; raises LoadTestError where something is missing."""
    wanted = chosen(names)
    builds: list[Build] = sorted({server.build for figure in wanted for server in figure.servers})
    found = {build: find(build, pythons[build]) for build in builds}
    entries, left_out = plan(
        Entry(figure, server.label, server, found[server.build], is_needed=server == figure.ours)
        for figure in wanted
        for server in figure.servers
    )
    turns = calibrate(found.get("free-threaded") or found["ordinary"])
    told = facts(
        options,
        interpreters={build: interpreter.facts() for build, interpreter in found.items()},
        load_generators={"wrk": wrk.version()},
        cpu_turns=turns,
    )
    results = Results(
        facts=told,
        titles={figure.name: figure.title for figure in wanted},
        left_out=left_out,
        targets={figure.name: figure.targets for figure in wanted},
    )
    path = options["output"] or ROOT / f"build/loadtests/{told['date'].replace(':', '')}.json"
    return Session(
        entries,
        effort,
        results,
        path,
        environment() | {TURNS_VARIABLE: str(turns)},
    )


@click.command(name="figures", epilog=f"Groups of figures: {', '.join(GROUPS)}.")
@click.argument("figure", nargs=-1, type=click.Choice(NAMES), metavar="[FIGURE]...")
@click.option("--ordinary-python", type=INTERPRETER, help="CPython 3.13.  [default: build/loadtests/3.13]")
@click.option("--free-threaded-python", type=INTERPRETER, help="3.13t.  [default: build/loadtests/3.13t]")
@effort_options(rounds=5, duration=2, warm_up=1, longest=60)
@number("--threads", 1, 16, 2, "Of wrk.")
@number("--connections", 1, 1000, 64, "Of wrk.")
@number("--idle-connections", 10, 10_000, 2000, "Of each kind, in ws-idle.")
@click.option("--output", type=click.Path(path_type=Path), help="JSON.  [default: build/loadtests/DATE.json]")
def figures(**options: Any) -> int:
    """Measure the figures that have a target: all, or those named by themselves or by their group.

    The exit code is 0 if every target is reached, 1 if not, 2 if nothing can be measured, 130 after SIGINT or SIGTERM.
    """
    if options["connections"] < options["threads"]:
        raise click.BadParameter("wrk needs a connection for each of its threads", param_hint="'--connections'")
    effort = effort_of(options, generator="wrk")
    resting.allow_many_files()
    pythons: dict[Build, Path | None] = {
        "ordinary": options["ordinary_python"],
        "free-threaded": options["free_threaded_python"],
    }
    session = prepare(options["figure"], pythons, effort, options)
    code = session.run()
    click.echo(markdown(session.results))
    click.echo(f"Everything is in {session.path}", err=True)
    return code or (0 if targets.all_reached(session.results) else 1)
