"""`python -m loadtests micro`: has pyperf measure, this tree or this one and a revision in turn."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

import click

from loadtests.generators import process
from loadtests.servers.interpreters import ROOT, environment

MICRO, PYPERF = (sys.executable, "-m", "loadtests.micro"), (sys.executable, "-m", "pyperf")
# With --against: the turns of each tree, the processes and seconds of a turn, and what is told from noise.
TURNS, PROCESSES, SECONDS, TOLERANCE_PERCENT = 4, 4, 3600.0, 3


@click.command(name="micro", add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.option("--against", metavar="REVISION")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def micro(against: str | None, arguments: tuple[str, ...]) -> int:
    """Measure parts of the way of a request: benchmarks, and options of pyperf's.

    With `--against` the code at a revision of git is measured in turn with ours, and the changes are told.
    """
    if against is None:
        return subprocess.call([*MICRO, *arguments])
    results, cpus = ROOT / time.strftime("build/loadtests/micro-%Y-%m-%dT%H%M%S"), sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="loadtests-") as folder:
        archive = f"{folder}/tree.tar"
        line = ["git", "archive", f"--output={archive}", "--end-of-options", against, "threadserve"]
        process.run(line, SECONDS, folder=ROOT)
        shutil.unpack_archive(archive, folder, filter="data")
        results.mkdir(parents=True, exist_ok=True)
        files = {results / "before.json": folder, results / "now.json": ROOT}
        # In turn, so that what disturbs the machine disturbs both, and on the CPUs by turns.
        for turn in range(TURNS):
            click.echo(f"turn {turn + 1} of {TURNS}", err=True)
            for file, tree in files.items():
                options = (f"--append={file}", f"--processes={PROCESSES}", f"--affinity={cpus[turn % len(cpus)]}")
                # Otherwise Python would look for the package in the working directory before anything else.
                variables = environment() | {"PYTHONPATH": f"{tree}{os.pathsep}{ROOT}", "PYTHONSAFEPATH": "1"}
                process.run([*MICRO, "--copy-env", *options, *arguments], SECONDS, folder=ROOT, variables=variables)
    return subprocess.call([*PYPERF, "compare_to", "--table", f"--min-speed={TOLERANCE_PERCENT}", *map(str, files)])
