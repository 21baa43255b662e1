"""Where figures come from: the facts of a comparison, its command lines, and what was wrong or is missing."""

import shlex
from dataclasses import dataclass
from typing import Any

from loadtests.reports.summary import Case, Summary, counted_threads, label
from loadtests.results.comparison import Results


@dataclass(frozen=True)
class Commands:
    """How one case was made: the command lines of the server and of the load, as the shell takes them."""

    scenario: str
    server: str
    threads: int
    serving: str
    loading: str


def facts(results: Results) -> list[tuple[str, str]]:
    """The facts as lines of a name and a text; a dictionary of dictionaries has a line for each."""
    rows: list[tuple[str, str]] = []
    for name, value in results.facts.items():
        if isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values()):
            rows += [(f"{spoken(name)}: {key}", plain(inner)) for key, inner in value.items()]
        else:
            rows.append((spoken(name), plain(value)))
    return rows


def spoken(name: str) -> str:
    return name.replace("_", " ")


def plain(value: Any) -> str:
    """A value of JSON in words."""
    if isinstance(value, dict):
        return ", ".join(f"{spoken(name)} {plain(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "") else f"{value:g}" if isinstance(value, float) else str(value)


def commands(summary: Summary) -> list[Commands]:
    """Those of every case's first round."""
    return [
        Commands(case.scenario, case.server, case.threads, shlex.join(first.command), shlex.join(first.load.command))
        for case in summary.cases
        for first in case.samples[:1]
    ]


def missing(results: Results, summary: Summary) -> list[str]:
    """What was left out on purpose, and what an interruption has left out, one line each."""
    unmeasured = [title for name, title in results.scenarios.items() if name not in summary.scenarios]
    return [
        *results.left_out,
        *(f"{title}: nothing was measured" for title in unmeasured),
        *(line for scenario in summary.scenarios for line in short_of_rounds(scenario, summary)),
    ]


def short_of_rounds(scenario: str, summary: Summary) -> list[str]:
    """A line for each number of rounds that is less than others have, with the servers that have no more."""
    cases = summary.of(scenario)
    lines = []
    for rounds in sorted({len(case.samples) for case in cases if len(case.samples) < summary.rounds}):
        few = [case for case in cases if len(case.samples) == rounds]
        who = "" if len(few) == len(cases) else f" of {', '.join(label(case, cases) for case in few)}"
        lines.append(f"{summary.scenarios[scenario]}: {rounds} of {summary.rounds} rounds{who}")
    return lines


def problems(summary: Summary) -> list[str]:
    """Everything that makes a sample doubtful, one line each."""
    return [
        f"{described(case, summary)}, round {sample.round}: {problem}"
        for case in summary.cases
        for sample in case.samples
        for problem in sample.problems
    ]


def described(case: Case, summary: Summary) -> str:
    return f"{summary.scenarios[case.scenario]}, {case.server}, {counted_threads(case.threads)}"
