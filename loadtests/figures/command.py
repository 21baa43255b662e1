"""`python -m loadtests figures`: measures the figures, prints the table of results and writes all of it as JSON."""

import subprocess
from pathlib import Path
from typing import Any

import click

from loadtests import machine
from loadtests.apps.cpu_bound import TURNS_VARIABLE
from loadtests.clients import resting
from loadtests.errors import LoadTestError
from loadtests.figures.figure import Figure
from loadtests.figures.table import FIGURES, GROUPS
from loadtests.generators import wrk
from loadtests.harness.measurement import Entry, plan
from loadtests.harness.options import effort_of, effort_options
from loadtests.harness.session import Session
from loadtests.results import Results
from loadtests.servers.interpreters import INTERPRETER, ROOT, Interpreter, environment, find
from loadtests.table import all_reached, markdown

NAMES = [*GROUPS, *(one.name for one in FIGURES)]


def chosen(names: tuple[str, ...]) -> list[Figure]:
    """Return the figures of these names, and of groups of these names, in the order of the table; without any all."""
    return [one for group in GROUPS for one in GROUPS[group] if not names or {group, one.name} & set(names)]


def calibrate(interpreter: Interpreter) -> str:
    """Return how many turns take the CPU-bound app's time on this machine and interpreter; raises LoadTestError."""
    line = [interpreter.path, "-m", "loadtests.apps.cpu_bound"]
    done = subprocess.run(line, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise LoadTestError(f"the CPU-bound app cannot be timed: {done.stderr.strip()}")
    return done.stdout.strip()


@click.command(name="figures", epilog=f"Groups of figures: {', '.join(GROUPS)}.")
@click.argument("figure", nargs=-1, type=click.Choice(NAMES), metavar="[FIGURE]...")
@click.option("--ordinary-python", type=INTERPRETER, help="CPython 3.13.  [default: build/loadtests/3.13]")
@click.option("--free-threaded-python", type=INTERPRETER, help="3.13t.  [default: build/loadtests/3.13t]")
@effort_options(rounds=5, duration=2, warm_up=1)
@click.option("--output", type=click.Path(path_type=Path), help="JSON.  [default: build/loadtests/DATE.json]")
def figures(output: Path | None, **options: Any) -> int:
    """Measure the figures that have a target: all, or those named by themselves or by their group.

    The exit code is 0 if every target is reached, 1 if not, 2 if nothing can be measured, 130 after SIGINT or SIGTERM.
    """
    resting.allow_many_files()
    wanted = chosen(options["figure"])
    builds = sorted({server.build for one in wanted for server in one.servers})
    found = {build: find(build, options[f"{build.replace('-', '_')}_python"]) for build in builds}
    servers = [(one, server) for one in wanted for server in one.servers]
    entries, left_out = plan(Entry(one, server.label, server, found[server.build]) for one, server in servers)
    turns = calibrate(found.get("free-threaded") or found["ordinary"])
    facts = machine.facts() | {
        "interpreters": {build: interpreter.facts() for build, interpreter in found.items()},
        "load_generators": {"wrk": wrk.version()},
        "cpu_turns": turns,
        "options": options,
    }
    results = Results(facts, {}, left_out, targets={one.name: list(one.targets) for one in wanted})
    path = output or ROOT / f"build/loadtests/{facts['date'].replace(':', '')}.json"
    code = Session(entries, effort_of(options), results, path, environment() | {TURNS_VARIABLE: turns}).run()
    click.echo(markdown(results))
    click.echo(f"Everything is in {path}", err=True)
    return code or (0 if all_reached(results) else 1)
