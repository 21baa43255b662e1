"""What was measured: the samples, the medians and ratios made of them, and how both are written down."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from loadtests.figures.figure import Figure, Goal, Peer
from loadtests.results.files import replace_text
from loadtests.results.medians import Spread, short, spread
from loadtests.servers import certificates
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

    def __str__(self) -> str:
        values = ", ".join(f"{short(number)} {name}" for name, number in self.values.items())
        return "; ".join([f"{self.round} {self.server}: {values}", *self.problems])


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
    """What stands alone, and every comparison of two servers that have been measured."""
    figure = outcome.figure
    alone = [row for goal in figure.alone for row in by_itself(outcome, goal)]
    return alone + [row for peer in figure.peers for goal in peer.goals for row in against(outcome, peer, goal)]


def by_itself(outcome: Outcome, goal: Goal) -> list[Row]:
    """The row of a value that is compared with nothing; none where it was not measured."""
    ours = values_of(outcome, outcome.figure.ours, goal.value)
    return [row_of(outcome.figure, goal, ours, median(ours))] if ours else []


def against(outcome: Outcome, peer: Peer, goal: Goal) -> list[Row]:
    """The rows of one peer, one for each way that was measured; the goal is about the best of them."""
    ours = values_of(outcome, outcome.figure.ours, goal.value)
    measured = {way.label: values_of(outcome, way, goal.value) for way in peer.ways}
    medians = {label: median(theirs) for label, theirs in measured.items() if theirs}
    if not ours or not medians:
        return []
    best = goal.best(medians)
    return [
        replace(
            row_of(outcome.figure, goal if label == best else Goal(goal.value), ours, ratio := median(ours) / theirs),
            peer=label,
            theirs=spread(measured[label]),
            ratio=ratio,
        )
        for label, theirs in medians.items()
    ]


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
    """Whether every figure is complete, without problems, and reaches its targets against every peer's best."""
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
    if figure.is_exact:
        return [shlex.join(sample.command) for sample in outcome.samples]
    measured = {sample.server for sample in outcome.samples}
    certificate = certificates.ANY if figure.request.tls else None
    return [
        " ".join(server.command(f"{server.build}-python", figure.app, "PORT", certificate))
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
