"""`python -m loadtests micro`: measures, prints the tables and writes all of it as JSON."""

import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import click

from loadtests import machine
from loadtests.errors import INTERRUPTED
from loadtests.micro import results, subjects
from loadtests.micro.all import BENCHMARKS
from loadtests.micro.parts import REFERENCE
from loadtests.micro.results import Results
from loadtests.micro.subjects import Subject
from loadtests.progress import progress
from loadtests.servers.interpreters import INTERPRETER, ROOT

QUICK_PROCESSES, QUICK_REPEATS = 2, 5


@click.command(name="micro")
@click.argument("benchmark", nargs=-1, type=click.Choice(list(BENCHMARKS)), metavar="[BENCHMARK]...")
@click.option("--python", type=INTERPRETER, multiple=True, help="Measure with it, and others.  [default: this one]")
@click.option("--against", metavar="REVISION", help="Measure the code at this revision of git in turn with ours.")
@click.option("--baseline", type=click.Path(path_type=Path), help="Earlier JSON: tell what has changed.")
@click.option("--processes", type=click.IntRange(1, 100), default=16, show_default=True, help="Of each interpreter.")
@click.option("--repeats", type=click.IntRange(1, 10_000), default=100, show_default=True, help="In each process.")
@click.option("--quick", is_flag=True, help="A few repeats in two processes: to see that everything works.")
@click.option("--output", type=click.Path(path_type=Path), help="JSON.  [default: build/loadtests/micro-DATE.json]")
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
    before = results.read(baseline) if baseline else None
    found = subjects.interpreters(python or (Path(sys.executable),))
    names = [name for name in BENCHMARKS if not benchmark or name in (*benchmark, REFERENCE.name)]
    if quick:
        processes, repeats = QUICK_PROCESSES, QUICK_REPEATS
    told = machine.facts() | {
        "interpreters": {label: one.facts() for label, one in found.items()},
        "against": against,
        "effort": {"names": names, "processes": processes, "repeats": repeats},
    }
    output = output or ROOT / f"build/loadtests/micro-{told['date'].replace(':', '')}.json"
    for line in machine.doubts(told):
        click.echo(f"Note: {line}", err=True)
    outcome, code = Results(told), 0
    results.write(output, outcome)
    with tempfile.TemporaryDirectory(prefix="loadtests-") as folder:
        chosen = subjects.subjects(found, against, Path(folder))
        try:
            measure(chosen, names, processes, repeats, outcome)
        except KeyboardInterrupt:
            code = INTERRUPTED
        finally:
            results.write(output, outcome)
    publish(outcome, chosen, before)
    click.echo(f"Everything is in {output}", err=True)
    return code


def measure(chosen: Sequence[Subject], names: list[str], processes: int, repeats: int, outcome: Results) -> None:
    """Measure all subjects in turn, so that what disturbs the machine disturbs all, and on the CPUs by turns.

    Each process of a run has its own seed, the same in every run.
    """
    cpus = sorted(os.sched_getaffinity(0))
    with progress(processes * len(chosen)) as report:
        for number in range(processes):
            for subject in chosen:
                for told in subject.measure(names, repeats, cpus[number % len(cpus)], seed=number):
                    outcome.add(subject.label, *told)
                report(f"processes measured, the last of {subject.label}", 1)


def publish(outcome: Results, chosen: Sequence[Subject], before: Results | None) -> None:
    """Print what was measured, a revision beside the working tree, and each subject beside an earlier run of it."""
    costs, earlier = outcome.costs, before.costs if before else {}
    click.echo(results.measured(outcome))
    pairs = [(costs, old.label, new.label) for old, new in pairwise(chosen) if old.revision]
    pairs += [(earlier, label, label) for label in earlier]
    for old_costs, old, new in pairs:
        if old in old_costs and new in costs:
            click.echo(f"\n{old} before, {new} now:")
            click.echo(results.changed(old_costs[old], costs[new]))
