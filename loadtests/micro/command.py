"""`python -m loadtests micro`: measures, prints the tables and writes all of it as JSON."""

import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from loadtests import machine
from loadtests.errors import INTERRUPTED
from loadtests.micro import results, tables
from loadtests.micro.all import TITLES
from loadtests.micro.changes import Side, changes, doubts
from loadtests.micro.measuring import Effort, measure
from loadtests.micro.plain import REFERENCE
from loadtests.micro.results import Results, Sample
from loadtests.micro.subjects import Subject, interpreters, subjects
from loadtests.progress import progress
from loadtests.servers.interpreters import INTERPRETER, ROOT

QUICK = Effort((), processes=2, repeats=5)


@dataclass(frozen=True)
class Given:
    """The command's arguments and options."""

    benchmark: tuple[str, ...]
    python: tuple[Path, ...]
    against: str | None
    baseline: Path | None
    processes: int
    repeats: int
    quick: bool
    output: Path | None

    @property
    def effort(self) -> Effort:
        """The benchmarks in the order of the table, the reference always among them."""
        names = [name for name in TITLES if not self.benchmark or name in (*self.benchmark, REFERENCE)]
        if self.quick:
            return Effort(names, QUICK.processes, QUICK.repeats)
        return Effort(names, self.processes, self.repeats)


def run(effort: Effort, chosen: list[Subject], found: Results, output: Path) -> int:
    """Measures all subjects, adding to `found` and writing it anew after each process; returns the exit code."""
    results.write(output, found)
    try:
        with progress(effort.processes * len(chosen)) as report:

            def taken(label: str, samples: list[Sample]) -> None:
                found.samples += samples
                results.write(output, found)
                report(f"processes measured, the last of {label}", 1)

            measure(effort, chosen, taken)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def pairs(found: Results, chosen: list[Subject], before: Results | None) -> list[tuple[Side, Side]]:
    """What is compared: a revision with the working tree, and each subject with the same in an earlier run."""
    measured = [subject for subject in chosen if subject.label in found.subjects]
    revisions = {subject.python: subject.label for subject in measured if subject.revision}
    compared: list[tuple[Side, Side]] = [
        ((found, revisions[subject.python]), (found, subject.label))
        for subject in measured
        if not subject.revision and subject.python in revisions
    ]
    if before is not None:
        compared += [((before, label), (found, label)) for label in found.subjects if label in before.subjects]
    return compared


def publish(found: Results, chosen: list[Subject], before: Results | None) -> None:
    """Prints the tables of what was measured."""
    click.echo(tables.measured(found))
    for old, new in pairs(found, chosen, before):
        name = f"{old[1]} before" if old[0] is before else old[1]
        click.echo(f"\n{tables.changed(changes(old, new), name, new[1])}")


@click.command(name="micro")
@click.argument("benchmark", nargs=-1, type=click.Choice(list(TITLES)), metavar="[BENCHMARK]...")
@click.option(
    "--python", type=INTERPRETER, multiple=True, help="Measure with it; may be repeated.  [default: this one]"
)
@click.option("--against", metavar="REVISION", help="Measure the code at this revision of git in turn with ours.")
@click.option("--baseline", type=click.Path(path_type=Path), help="Earlier JSON: tell what has changed.")
@click.option("--processes", type=click.IntRange(1, 100), default=16, show_default=True, help="Of each interpreter.")
@click.option("--repeats", type=click.IntRange(1, 10_000), default=100, show_default=True, help="In each process.")
@click.option("--quick", is_flag=True, help="A few repeats in two processes: to see that everything works.")
@click.option("--output", type=click.Path(path_type=Path), help="JSON.  [default: build/loadtests/micro-DATE.json]")
def micro(**options: Any) -> int:
    """Measures parts of the way of a request: all benchmarks, or those named.

    The exit code is 0 if they were measured, 2 if one could not be, 130 after SIGINT or SIGTERM.
    """
    given = Given(**options)
    before = None if given.baseline is None else results.read(given.baseline)
    found_interpreters = interpreters(given.python or (Path(sys.executable),))
    with tempfile.TemporaryDirectory(prefix="loadtests-") as folder:
        chosen = subjects(found_interpreters, given.against, Path(folder))
        told = machine.facts() | {
            "interpreters": {label: one.facts() for label, one in found_interpreters.items()},
            "against": given.against,
            "effort": asdict(given.effort),
        }
        found = Results(told)
        for line in (*machine.doubts(told), *(doubts(before, found) if before else [])):
            click.echo(f"Note: {line}", err=True)
        output = given.output or ROOT / f"build/loadtests/micro-{told['date'].replace(':', '')}.json"
        code = run(given.effort, chosen, found, output)
    publish(found, chosen, before)
    click.echo(f"Everything is in {output}", err=True)
    return code
