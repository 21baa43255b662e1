"""What was measured: the samples, the medians and ratios made of them, and how both are written down."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from loadtests.figures.figure import Figure, Goal
from loadtests.results.files import replace_text
from loadtests.results.medians import Spread, spread
from loadtests.servers.commands import Server


@dataclass(frozen=True)
class Sample:
    """One server in one round. `values` are what is compared, `problems` what makes the sample doubtful."""

    server: str
    round: int
    command: list[str]
    values: dict[str, float]
    details: dict[str, Any]
    problems: list[str]


@dataclass
class Outcome:
    """All samples of one figure.

    `failure` says why there are fewer than there should be, `left_out` which servers are not measured at all and why.
    """

    figure: Figure
    samples: list[Sample] = field(default_factory=list)
    failure: str = ""
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """One comparison, or a value of ours alone: then there are no `peer`, `theirs` and `ratio`.

    `target` is None where something is only shown; `reached` then is, too.
    """

    figure: str
    value: str
    ours: Spread
    peer: str
    theirs: Spread | None
    ratio: float | None
    target: str | None
    reached: bool | None


def rows(outcome: Outcome) -> list[Row]:
    """What stands by itself, and every comparison of two servers that have been measured: peers before others."""
    figure = outcome.figure
    alone = [row for goal in figure.goals if goal.itself for row in by_itself(outcome, goal)]
    compared = [
        row
        for peer in (*figure.peers, *figure.others)
        for goal in figure.goals
        if not goal.itself
        for row in against(outcome, peer, goal)
    ]
    return alone + compared


def by_itself(outcome: Outcome, goal: Goal) -> list[Row]:
    """The row of a value that is compared with nothing; none where it was not measured."""
    ours = values_of(outcome, outcome.figure.ours, goal.value)
    return [row_of(outcome.figure, goal, ours, median(ours))] if ours else []


def against(outcome: Outcome, peer: Server, goal: Goal) -> list[Row]:
    """The row of one comparison; none where one of the two servers was not measured."""
    figure = outcome.figure
    ours, theirs = values_of(outcome, figure.ours, goal.value), values_of(outcome, peer, goal.value)
    if not ours or not theirs:
        return []
    ratio = median(ours) / median(theirs)
    judged = goal if peer in figure.peers else Goal(goal.value)
    return [replace(row_of(figure, judged, ours, ratio), peer=peer.label, theirs=spread(theirs), ratio=ratio)]


def row_of(figure: Figure, goal: Goal, ours: Sequence[float], number: float) -> Row:
    """A row without a peer; `number` is what the goal is about."""
    wanted = goal.target is not None
    return Row(
        figure=figure.title,
        value=goal.value,
        ours=spread(ours),
        peer="",
        theirs=None,
        ratio=None,
        target=str(goal) if wanted else None,
        reached=goal.is_reached(number) if wanted else None,
    )


def values_of(outcome: Outcome, server: Server, value: str) -> list[float]:
    return [sample.values[value] for sample in outcome.samples if sample.server == server.label]


def all_reached(outcomes: Sequence[Outcome]) -> bool:
    """Whether every figure is complete, without problems, and reaches its target against every peer."""
    return all(
        not outcome.failure
        and not outcome.left_out
        and not problems(outcome)
        and rows(outcome)
        and all(row.reached is not False for row in rows(outcome))
        for outcome in outcomes
    )


def problems(outcome: Outcome) -> list[str]:
    """What makes samples of this figure doubtful, one line each."""
    return [f"{sample.server}, round {sample.round}: {what}" for sample in outcome.samples for what in sample.problems]


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The table of results, what was wrong, and the command lines."""
    lines = [
        "| figure | value | threadserve: median (least-greatest) | peer | peer: median | ratio | target | reached |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(line for outcome in outcomes for line in map(markdown_row, rows(outcome))),
    ]
    wrong = [f"* {outcome.figure.name}: {what}" for outcome in outcomes for what in complaints(outcome)]
    commands = [f"* {outcome.figure.name}: `{line}`" for outcome in outcomes for line in command_lines(outcome)]
    sections = [lines]
    if wrong:
        sections.append(["Doubtful or missing:", "", *wrong])
    if commands:
        sections.append(["Command lines:", "", *commands])
    return "\n\n".join("\n".join(section) for section in sections)


def markdown_row(row: Row) -> str:
    verdict = {True: "yes", False: "no", None: ""}[row.reached]
    theirs, ratio = row.theirs or "", "" if row.ratio is None else f"{row.ratio:.2f}"
    cells = [row.figure, row.value, row.ours, row.peer, theirs, ratio, row.target or "", verdict]
    return f"| {' | '.join(map(str, cells))} |"


def complaints(outcome: Outcome) -> list[str]:
    return [*([outcome.failure] if outcome.failure else []), *outcome.left_out, *problems(outcome)]


def command_lines(outcome: Outcome) -> list[str]:
    """Each server's, once: with its kind of interpreter for the path, and PORT for a port that differs every time."""
    figure = outcome.figure
    measured = {sample.server for sample in outcome.samples}
    return [
        " ".join(server.command(f"{server.build}-python", figure.app, "PORT"))
        for server in figure.servers
        if server.label in measured
    ]


def write_json(path: Path, facts: dict[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Everything, raw and compared, replacing what the file said before."""
    figures = {
        outcome.figure.name: {
            "title": outcome.figure.title,
            "failure": outcome.failure,
            "left_out": outcome.left_out,
            "rows": [asdict(row) for row in rows(outcome)],
            "samples": [asdict(sample) for sample in outcome.samples],
        }
        for outcome in outcomes
    }
    replace_text(path, json.dumps({**facts, "figures": figures}, indent=1) + "\n")
