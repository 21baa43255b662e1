"""`python -m loadtests starting`: measures starts with one thread and with several in turn, and prints the figures."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import click

from loadtests.results.medians import short, spread
from loadtests.servers.interpreters import INTERPRETER, Interpreter, usable
from loadtests.starting import project
from loadtests.starting.measuring import Start, import_seconds, start

TARGET = 1.5


@click.command(name="starting")
@click.option("--python", type=INTERPRETER, multiple=True, help="Of the server; may be repeated.  [default: this one]")
@click.option("--threads", type=click.IntRange(2, 64), default=4, show_default=True, help="Beside one.")
@click.option("--modules", type=click.IntRange(5, 1000), default=60, show_default=True, help="Of the project.")
@click.option("--rounds", type=click.IntRange(1, 50), default=7, show_default=True, help="Of both in turn.")
def starting(python: tuple[Path, ...], threads: int, modules: int, rounds: int) -> int:
    """Measures how long a FastAPI project takes to start with several threads, and the memory of each.

    Each thread imports the project anew. The start may take 1.5 times as long as one with one thread and those imports
    together. The exit code is 0 if that is reached, and 1 if not.
    """
    reached = True
    for path in python or (Path(sys.executable),):
        interpreter = usable(path.absolute())
        with tempfile.TemporaryDirectory(prefix="loadtests-") as name:
            folder = Path(name)
            project.write(folder, modules)
            import_seconds(interpreter, folder)
            imports, alone, several = [], [], []
            for _ in range(rounds):
                imports.append(import_seconds(interpreter, folder))
                alone.append(start(interpreter, folder, 1))
                several.append(start(interpreter, folder, threads))
        ratio = told(interpreter, modules, imports, alone, several)
        reached = reached and ratio <= TARGET
    return 0 if reached else 1


def told(
    interpreter: Interpreter, modules: int, imports: list[float], alone: Sequence[Start], several: Sequence[Start]
) -> float:
    """Prints what was measured; returns the ratio that has a target."""
    threads = several[0].threads
    first, all_of_them = [each.seconds for each in alone], [each.seconds for each in several]
    ratio = median(all_of_them) / (median(first) + (threads - 1) * median(imports))
    further = (median(each.pss for each in several) - median(each.pss for each in alone)) / (threads - 1)
    click.echo(
        f"CPython {interpreter.short_version}, a project of {modules} modules, medians of {len(first)} rounds:\n"
        f"  import of the project       {spread(imports)} s\n"
        f"  start with 1 thread         {spread(first)} s\n"
        f"  start with {threads} threads        {spread(all_of_them)} s\n"
        f"  against 1 thread and {threads - 1} imports: {ratio:.2f}, at most {TARGET:g} wanted\n"
        f"  memory with 1 thread {short(median(each.pss for each in alone))} MB, "
        f"for each further one {short(further)} MB"
    )
    return ratio
