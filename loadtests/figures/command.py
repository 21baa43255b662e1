"""`python -m loadtests figures`: measures the figures, prints the table of results and writes all of it as JSON."""

from pathlib import Path
from typing import Any

import click

from loadtests import machine
from loadtests.apps.cpu_bound import TURNS_VARIABLE
from loadtests.clients import resting
from loadtests.figures.figure import Figure
from loadtests.figures.table import FIGURES, GROUPS
from loadtests.generators import process, wrk
from loadtests.harness.measurement import Effort, Entry, number, plan
from loadtests.harness.session import Session
from loadtests.results import Results
from loadtests.servers.interpreters import INTERPRETER, ROOT, environment, find
from loadtests.table import all_reached, markdown

NAMES = [*GROUPS, *(one.name for one in FIGURES)]


def chosen(names: tuple[str, ...]) -> list[Figure]:
    """Return the figures of these names, and of groups of these names, in the order of the table; without any all."""
    return [one for group in GROUPS for one in GROUPS[group] if not names or {group, one.name} & set(names)]


@click.command(name="figures", epilog=f"Groups of figures: {', '.join(GROUPS)}.")
@click.argument("figure", nargs=-1, type=click.Choice(NAMES), metavar="[FIGURE]...")
@click.option("--ordinary-python", type=INTERPRETER, help="CPython 3.13.  [default: build/loadtests/3.13]")
@click.option("--free-threaded-python", type=INTERPRETER, help="3.13t.  [default: build/loadtests/3.13t]")
@number("--rounds", 1, 50, 5, "Of all servers in turn.")
@number("--duration", 1, 60, 2, "Seconds measured.")
@number("--warm-up", 1, 60, 1, "Seconds before that.")
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
    # What the CPU-bound app does in its time on this machine.
    timed = found.get("free-threaded") or found["ordinary"]
    line = [timed.path, "-m", "loadtests.apps.cpu_bound"]
    turns = process.run(line, 0.0, name="the timing of the CPU-bound app", folder=ROOT, variables=environment())
    facts = machine.facts() | {
        "interpreters": {build: interpreter.facts() for build, interpreter in found.items()},
        "load_generators": {"wrk": wrk.version()},
        "cpu_turns": turns.strip(),
        "options": options,
    }
    results = Results(facts, {}, left_out, targets={one.name: list(one.targets) for one in wanted})
    path = output or ROOT / f"build/loadtests/{facts['date'].replace(':', '')}.json"
    code = Session(entries, Effort.of(options), results, path, environment() | {TURNS_VARIABLE: turns.strip()}).run()
    click.echo(markdown(results))
    click.echo(f"Everything is in {path}", err=True)
    return code or (0 if all_reached(results) else 1)
