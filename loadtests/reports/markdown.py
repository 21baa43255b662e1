"""The table of all cases as Markdown, with the facts that it rests on."""

import re

from loadtests.reports import notes
from loadtests.reports.summary import Summary
from loadtests.reports.table import COLUMNS, Cell, rows
from loadtests.results.comparison import Results

# What means something to Markdown, or to the HTML in it, within a line.
SPECIAL = re.compile(r"[\\`*_\[\]<>|&~]")


def table(results: Results) -> str:
    """The table, what was wrong or is missing, and the facts; the best of a scenario with as many threads is bold."""
    summary = Summary(results)
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        "| --- | --- |" + " ---: |" * (len(COLUMNS) - 2),
        *(f"| {' | '.join(map(cell, row.cells))} |" for row in rows(summary)),
    ]
    sections = [
        ("", lines),
        ("Doubtful:", bullets(notes.problems(summary))),
        ("Missing:", bullets(notes.missing(results, summary))),
        ("Measured:", bullets([f"{name}: {text}" for name, text in notes.facts(results)])),
    ]
    return "\n\n".join("\n".join([title, "", *lines] if title else lines) for title, lines in sections if lines) + "\n"


def bullets(lines: list[str]) -> list[str]:
    return [f"* {escaped(line)}" for line in lines]


def cell(given: Cell) -> str:
    text = escaped(given.text)
    return f"**{text}**" if given.best else text


def escaped(text: str) -> str:
    """The text on one line, with nothing in it that Markdown would take for its own."""
    return SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))
