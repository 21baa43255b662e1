"""One run of a command: what it begins with, how it goes on, and what it leaves when it is interrupted."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import click

from loadtests import machine
from loadtests.errors import INTERRUPTED, LoadTestError
from loadtests.harness.measurement import Effort, Entry
from loadtests.harness.rounds import Course
from loadtests.progress import progress
from loadtests.results import record
from loadtests.results.record import Results
from loadtests.servers.interpreters import ROOT, environment

# Seconds that a sample takes beyond its load.
START_AND_STOP_SECONDS = 3


@dataclass
class Session:
    """The entries of a run, and the file that is written anew after each sample."""

    entries: list[Entry]
    effort: Effort
    results: Results
    path: Path
    variables: dict[str, str] = field(default_factory=environment)
    folder: Path = ROOT

    def run(self) -> int:
        """Measure all entries; return the exit code.

        Raises LoadTestError where the file cannot be written, or nothing could be measured.
        """
        effort, results = self.effort, self.results
        if not self.entries:
            raise LoadTestError(f"nothing can be measured: {'; '.join(results.left_out)}")
        total = sum(entry.rounds(effort) for entry in self.entries)
        minutes = total * (effort.warm_up + effort.duration + START_AND_STOP_SECONDS) / 60
        estimate = f"{total} samples will take about {minutes:.0f} minutes"
        for line in (*machine.doubts(results.facts), *results.left_out, estimate):
            click.echo(f"Note: {line}", err=True)
        try:
            record.write(self.path, results)
        except OSError as error:
            raise LoadTestError(f"--output {self.path}: {error.strerror}") from None
        try:
            with progress(total) as report:

                def written(line: str, done: int) -> None:
                    record.write(self.path, results)
                    report(line, done)

                Course(effort, results, written, self.variables, self.folder).run(self.entries)
        except KeyboardInterrupt:
            results.left_out.append(f"interrupted: {len(results.samples)} of {total} samples were measured")
            record.write(self.path, results)
            return INTERRUPTED
        if not results.samples:
            raise LoadTestError(f"nothing could be measured; {self.path} says why")
        return 0


def effort_of(options: dict[str, Any], **others: Any) -> Effort:
    """Return what the options say of it, with other parts as they are given."""
    parts = {part.name: options[part.name] for part in fields(Effort) if part.name in options}
    return Effort(**parts | others)


def facts(options: dict[str, Any], **others: Any) -> dict[str, Any]:
    """Return when, where, with what and how it is measured, as JSON takes it."""
    return {**machine.facts(), **others, "options": {name: as_json(value) for name, value in options.items()}}


def as_json(value: Any) -> Any:
    """Return an option's value as JSON takes it: paths become text, tuples lists."""
    if isinstance(value, tuple):
        return [as_json(part) for part in value]
    return value if isinstance(value, int | float | str | None) else str(value)


def number(name: str, least: float, most: float, default: float, what: str) -> Callable[[Any], Any]:
    """Return the option of a number within limits, a whole one where its default is."""
    kind = click.IntRange(int(least), int(most)) if isinstance(default, int) else click.FloatRange(least, most)
    return click.option(name, type=kind, default=default, show_default=True, help=what)


def effort_options(rounds: int, duration: int, warm_up: int, longest: int) -> Callable[[Any], Any]:
    """Return the options that all commands have in common, with these defaults."""

    def decorate(command: Any) -> Any:
        command = number("--warm-up", 1, 60, warm_up, "Seconds before that.")(command)
        command = number("--duration", 1, longest, duration, "Seconds measured.")(command)
        return number("--rounds", 1, 50, rounds, "Of all servers in turn.")(command)

    return decorate
