"""`python -m loadtests micro`: has pyperf measure, and prints its results and changes."""

import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import click

from loadtests import machine
from loadtests.errors import INTERRUPTED, LoadTestError
from loadtests.generators import process
from loadtests.micro import subjects
from loadtests.micro.subjects import AT, Subject
from loadtests.micro.table import BENCHMARKS, REFERENCE
from loadtests.progress import progress
from loadtests.servers.interpreters import INTERPRETER, ROOT

QUICK_PROCESSES, QUICK_VALUES = 2, 2
# How often each subject has its turn.
TURNS = 4
# What these benchmarks can tell from noise.
TOLERANCE_PERCENT = 3


@click.command(name="micro")
@click.argument("benchmark", nargs=-1, type=click.Choice(list(BENCHMARKS)), metavar="[BENCHMARK]...")
@click.option("--python", type=INTERPRETER, multiple=True, help="Measure with it, and others.  [default: this one]")
@click.option("--against", metavar="REVISION", help="Measure the code at this revision of git in turn with ours.")
@click.option("--baseline", type=click.Path(path_type=Path), help="Earlier --output: tell what has changed.")
@click.option("--processes", type=click.IntRange(1, 100), default=16, show_default=True, help="Of each interpreter.")
@click.option("--repeats", type=click.IntRange(1, 10_000), default=5, show_default=True, help="Values of each process.")
@click.option("--quick", is_flag=True, help="Two values in two processes: to see that everything works.")
@click.option("--output", type=click.Path(path_type=Path), help="A folder.  [default: build/loadtests/micro-DATE]")
def micro(
    benchmark: tuple[str, ...],
    python: tuple[Path, ...],
    against: str | None,
    baseline: Path | None,
    processes: int,
    repeats: int,
    quick: bool,
    output: Path | None,
) -> int:
    """Measures parts of the way of a request: all benchmarks, or those named.

    The exit code is 0 if they were measured, 2 if one could not be, 130 after SIGINT or SIGTERM.
    """
    if baseline and not any(baseline.glob("*.json")):
        raise LoadTestError(f"--baseline {baseline} is no folder with results of `micro`")
    if baseline and output and baseline.resolve() == output.resolve():
        raise LoadTestError(f"--output {output} would replace the --baseline")
    found = subjects.interpreters(python or (Path(sys.executable),))
    names = [name for name in BENCHMARKS if not benchmark or name in (*benchmark, REFERENCE)]
    if quick:
        processes, repeats = QUICK_PROCESSES, QUICK_VALUES
    facts = machine.facts()
    output = output or ROOT / f"build/loadtests/micro-{facts['date'].replace(':', '')}"
    for line in machine.doubts(facts):
        click.echo(f"Note: {line}", err=True)
    code = 0
    with tempfile.TemporaryDirectory(prefix="loadtests-") as folder:
        chosen = subjects.subjects(found, against, Path(folder))
        files = prepare(output, chosen)
        try:
            measure(files, names, processes, repeats)
        except KeyboardInterrupt:
            code = INTERRUPTED
    publish(files, baseline)
    click.echo(f"Everything is in {output}", err=True)
    return code


def prepare(output: Path, chosen: Sequence[Subject]) -> dict[Subject, Path]:
    """Return the file of each subject in a folder, which has none of them yet; raise LoadTestError where it cannot."""
    files = {subject: output / f"{subject.label}.json" for subject in chosen}
    try:
        output.mkdir(parents=True, exist_ok=True)
        for path in files.values():
            path.unlink(missing_ok=True)
    except OSError as error:
        raise LoadTestError(f"--output {output}: {error.strerror}") from None
    return files


def measure(files: dict[Subject, Path], names: list[str], processes: int, repeats: int) -> None:
    """Measure all subjects in turn, so that what disturbs the machine disturbs all, and on the CPUs by turns."""
    cpus = sorted(os.sched_getaffinity(0))
    turns = min(TURNS, processes)
    with progress(processes * len(files)) as report:
        for turn in range(turns):
            count = processes // turns + (turn < processes % turns)
            for subject, path in files.items():
                subject.measure(path, names, count, repeats, cpus[turn % len(cpus)])
                report(f"processes measured, the last of {subject.label}", count)


def publish(files: dict[Subject, Path], baseline: Path | None) -> None:
    """Print what was measured, a revision beside the working tree, and each subject beside an earlier run of it."""
    measured = [path for path in files.values() if path.exists()]
    for path in measured:
        click.echo(f"{path.stem}:\n{pyperf('show', '--quiet', path)}")
    pairs = [(old, new) for old, new in pairwise(measured) if old.stem.startswith(f"{new.stem}{AT}")]
    if baseline:
        pairs += [(baseline / path.name, path) for path in measured if (baseline / path.name).exists()]
    for old, new in pairs:
        click.echo(
            f"{old.stem} before, {new.stem} now:\n{pyperf('compare_to', '--min-speed', TOLERANCE_PERCENT, old, new)}"
        )


def pyperf(command: str, *arguments: object) -> str:
    """Return what a command of pyperf prints; raise LoadTestError where it fails."""
    line = [sys.executable, "-m", "pyperf", command, *map(str, arguments)]
    return process.run(line, 0.0, name=f"pyperf {command}")[0]
