"""`python -m loadtests starting`: measures starts with one thread and with several in turn, and prints the figures."""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import click

from loadtests.generators import process
from loadtests.request import GET_ROOT
from loadtests.results.medians import short, spread
from loadtests.servers import memory
from loadtests.servers.commands import threadserve
from loadtests.servers.interpreters import INTERPRETER, Interpreter, environment, usable
from loadtests.servers.processes import serving
from loadtests.starting import project

APP = "shop.main:app"
# The libraries are there already, as for every thread but the first.
IMPORT = "import fastapi, time; begin = time.perf_counter(); import shop.main; print(time.perf_counter() - begin)"
SETTLE_SECONDS = 0.5
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
    ratios = []
    for path in python or (Path(sys.executable),):
        interpreter = usable(path.absolute())
        with tempfile.TemporaryDirectory(prefix="loadtests-") as name:
            folder = Path(name)
            project.write(folder, modules)
            import_seconds(interpreter, folder)
            measured = [
                (
                    import_seconds(interpreter, folder),
                    *start(interpreter, folder, 1),
                    *start(interpreter, folder, threads),
                )
                for _ in range(rounds)
            ]
        imports, alone, alone_mb, several, several_mb = zip(*measured, strict=True)
        ratios.append(median(several) / (median(alone) + (threads - 1) * median(imports)))
        further = (median(several_mb) - median(alone_mb)) / (threads - 1)
        click.echo(
            f"CPython {interpreter.short_version}, a project of {modules} modules, medians of {rounds} rounds:\n"
            f"  import of the project       {spread(imports)} s\n"
            f"  start with 1 thread         {spread(alone)} s\n"
            f"  start with {threads} threads        {spread(several)} s\n"
            f"  against 1 thread and {threads - 1} imports: {ratios[-1]:.2f}, at most {TARGET:g} wanted\n"
            f"  memory with 1 thread {short(median(alone_mb))} MB, for each further one {short(further)} MB"
        )
    return 0 if max(ratios) <= TARGET else 1


def start(interpreter: Interpreter, folder: Path, threads: int) -> tuple[float, float]:
    """Return the seconds that a server takes from its start to its first answer, and its memory (PSS) in MB."""
    server = threadserve(interpreter.build, threads)
    with tempfile.TemporaryDirectory(prefix="loadtests-") as logs:
        begin = time.perf_counter()
        with serving(server, interpreter.path, APP, GET_ROOT, environment(), Path(logs), folder) as running:
            seconds = time.perf_counter() - begin
            time.sleep(SETTLE_SECONDS)
            return seconds, memory.of_tree(running.pid)["PSS MB"]


def import_seconds(interpreter: Interpreter, folder: Path) -> float:
    """Return how long importing the project takes where its libraries are imported. Raises LoadTestError."""
    line, name = [interpreter.path, "-c", IMPORT], "the import of the project"
    told, _ = process.run(line, 0.0, name=name, folder=folder, variables=environment())
    return float(told)
