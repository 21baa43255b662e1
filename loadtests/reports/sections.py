"""The parts of a report, which the page and the Markdown file show alike: tables, and lists of lines."""

import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from loadtests.reports import targets
from loadtests.reports.summary import Case, Summary, label
from loadtests.results.medians import short
from loadtests.results.record import CPU, RATE, Results

COLUMNS = (
    *("scenario", "server", "threads or workers", "requests/s: median (least-greatest)", "ratio to threadserve"),
    *("p50 ms", "p99 ms", "p99.9 ms", "errors", CPU, "PSS MB", "OS threads"),
)
TARGET_COLUMNS = (
    *("figure", "value", "threadserve: median (least-greatest)", "peer", "peer: median", "ratio", "target", "reached"),
)
# What means something to Markdown, or to the HTML in it, within a line.
SPECIAL = re.compile(r"[\\`*_\[\]<>|&~]")


@dataclass(frozen=True)
class Cell:
    """One cell; `best` where nobody else did better in the scenario with as many threads."""

    text: str
    best: bool = False

    @property
    def markdown(self) -> str:
        """The text, in bold where it is the best."""
        return f"**{escaped(self.text)}**" if self.best else escaped(self.text)


@dataclass(frozen=True)
class Section:
    """A table, or a list of lines."""

    title: str
    columns: tuple[str, ...] = ()
    rows: list[list[Cell]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def markdown(self) -> str:
        """The section as Markdown. All columns but two hold numbers."""
        if not self.columns:
            return "\n".join([f"{self.title}:", "", *(f"* {escaped(line)}" for line in self.lines)])
        head = [f"| {' | '.join(self.columns)} |", "| --- | --- |" + " ---: |" * (len(self.columns) - 2)]
        return "\n".join([*head, *(f"| {' | '.join(cell.markdown for cell in row)} |" for row in self.rows)])


def escaped(text: str) -> str:
    """Return the text on one line, with nothing in it that Markdown would take for its own."""
    return SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def markdown(results: Results) -> str:
    """Return all of it; the best of a scenario with as many threads is bold."""
    return "\n\n".join(section.markdown for section in sections(results)) + "\n"


def sections(results: Results) -> list[Section]:
    """Return the sections in which there is something."""
    summary = Summary(results)
    found = [
        Section("All scenarios", COLUMNS, [cells(case, summary) for case in summary.cases]),
        Section("Targets", TARGET_COLUMNS, [list(map(Cell, row.cells)) for row in targets.rows(results)]),
        Section("Doubtful", lines=problems(results)),
        Section("Missing", lines=missing(results, summary)),
        Section("Measured", lines=facts(results)),
        Section("Command lines", lines=commands(results)),
    ]
    return [section for section in found if section.rows or section.lines]


def cells(case: Case, summary: Summary) -> list[Cell]:
    """Return the cells of `COLUMNS`, of which those without a spread are medians; "" where nothing was measured."""
    ratio = summary.ratio(case, RATE)
    errors = sum((Counter(sample.errors) for sample in case.samples), Counter[str]())
    told = {name: short(found.median) if (found := case.spread(name)) else "" for name in COLUMNS}
    return [
        Cell(summary.scenarios[case.scenario]),
        Cell(case.server),
        Cell(str(case.threads)),
        Cell(str(case.spread(RATE)), summary.is_best(case, RATE, max)),
        Cell("" if ratio is None else f"{ratio:.2f}"),
        Cell(told["p50 ms"]),
        Cell(told["p99 ms"], summary.is_best(case, "p99 ms", min)),
        Cell(told["p99.9 ms"]),
        Cell(f"{errors.total():,}"),
        Cell(told[CPU]),
        Cell(told["PSS MB"]),
        Cell(f"{case.median('OS threads'):.0f}"),
    ]


def problems(results: Results) -> list[str]:
    """Return everything that makes a sample doubtful, one line each; of a figure, errors are among it."""
    lines = []
    for sample in results.samples:
        errors = sample.errors if sample.measurement in results.targets else {}
        told = [*sample.problems, *(f"{count} errors: {kind}" for kind, count in errors.items())]
        lines += [f"{results.title(sample.measurement)}, {sample}, round {sample.round}: {what}" for what in told]
    return lines


def missing(results: Results, summary: Summary) -> list[str]:
    """Return what was left out on purpose, and what an interruption has left out, one line each."""
    measured = {sample.measurement for sample in results.samples}
    lines = [f"{title}: nothing was measured" for name, title in results.titles.items() if name not in measured]
    most = max((len(case.samples) for case in summary.cases), default=0)
    for case in summary.cases:
        if len(case.samples) < most:
            name = label(case, summary.of(case.scenario))
            lines.append(f"{summary.scenarios[case.scenario]}: {len(case.samples)} of {most} rounds of {name}")
    return [*results.left_out, *lines]


def facts(results: Results) -> list[str]:
    """Return the facts, one line each."""
    return [f"{name}: {plain(value)}" for name, value in results.facts.items()]


def plain(value: Any) -> str:
    """Return a value of JSON in words."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(inner)}" for name, inner in value.items())
    return ", ".join(map(plain, value)) if isinstance(value, list) else str(value)


def commands(results: Results) -> list[str]:
    """Return the command lines of every case's first sample: the server's, and that of its load."""
    lines: dict[str, str] = {}
    for sample in results.samples:
        told = " under ".join(shlex.join(command) for command in (sample.command, sample.load) if command)
        lines.setdefault(f"{sample.measurement}, {sample}", told)
    return [f"{name}: {told}" for name, told in lines.items()]
