"""`python -m loadtests micro`: has pyperf measure, this tree or this one and a revision in turn."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from loadtests.errors import LoadTestError
from loadtests.servers.interpreters import ROOT, environment

PYPERF = (sys.executable, "-m", "pyperf")
# With --against: the turns of each tree, the processes of a turn, and what the benchmarks can tell from noise.
TURNS, PROCESSES, TOLERANCE_PERCENT = 4, 4, 3


@click.command(name="micro", add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.option("--against", metavar="REVISION")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def micro(against: str | None, arguments: tuple[str, ...]) -> int:
    """Measure parts of the way of a request: benchmarks, and options of pyperf's.

    With `--against` the code at a revision of git is measured in turn with ours, and the changes are told.
    """
    if against is None:
        return subprocess.call([sys.executable, "-m", "loadtests.micro", *arguments])
    results = ROOT / time.strftime("build/loadtests/micro-%Y-%m-%dT%H%M%S")
    with tempfile.TemporaryDirectory(prefix="loadtests-") as folder:
        extract(against, Path(folder))
        results.mkdir(parents=True)
        files = {results / "before.json": Path(folder), results / "now.json": ROOT}
        # In turn, so that what disturbs the machine disturbs both, and on the CPUs by turns.
        for turn in range(TURNS):
            click.echo(f"turn {turn + 1} of {TURNS}", err=True)
            for file, tree in files.items():
                measure(tree, turn, "--append", str(file), *arguments)
    return subprocess.call([*PYPERF, "compare_to", "--table", f"--min-speed={TOLERANCE_PERCENT}", *map(str, files)])


def extract(revision: str, folder: Path) -> None:
    """Put the package as it was at a revision into a folder; raise LoadTestError where git does not give it."""
    archive = folder / "tree.tar"
    line = ["git", "archive", f"--output={archive}", "--end-of-options", revision, "threadserve"]
    if subprocess.call(line, cwd=ROOT):
        raise LoadTestError(f"git does not give the code at {revision}")
    shutil.unpack_archive(archive, folder, filter="data")


def measure(tree: Path, turn: int, *arguments: str) -> None:
    """Measure the package of a tree; raise LoadTestError where that fails."""
    cpus = sorted(os.sched_getaffinity(0))
    effort = ["--quiet", "--copy-env", f"--processes={PROCESSES}", f"--affinity={cpus[turn % len(cpus)]}"]
    # Otherwise Python would look for the package in the working directory before anything else.
    variables = environment() | {"PYTHONPATH": f"{tree}{os.pathsep}{ROOT}", "PYTHONSAFEPATH": "1"}
    line = [sys.executable, "-m", "loadtests.micro", *effort, *arguments]
    if subprocess.call(line, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL):
        raise LoadTestError("the benchmarks could not be measured")
