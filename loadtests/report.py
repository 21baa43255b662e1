"""What was measured: the samples, the medians and ratios made of them, and how both are written down."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from loadtests.figures import JUDGED, SHOWN, Figure
from loadtests.servers import Server


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
    """All samples of one figure; `failure` says why there are fewer than there should be."""

    figure: Figure
    samples: list[Sample] = field(default_factory=list)
    failure: str = ""


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of one value over the rounds."""

    median: float
    least: float
    greatest: float

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.least)}-{short(self.greatest)})"


@dataclass(frozen=True)
class Row:
    """One comparison. `target` is None where the peer is only shown; `reached` then is, too."""

    figure: str
    value: str
    ours: Spread
    peer: str
    theirs: Spread
    ratio: float
    target: str | None
    reached: bool | None


def short(number: float) -> str:
    """Thousands in full, small numbers with one decimal."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.1f}"


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def rows(outcome: Outcome) -> list[Row]:
    """Every comparison of two servers that have been measured: peers before others, judged values before shown ones."""
    figure = outcome.figure
    return [
        row
        for peer in (*figure.peers, *figure.others)
        for value in (*JUDGED[figure.measure], *SHOWN[figure.measure])
        if (row := compared(outcome, peer, value)) is not None
    ]


def compared(outcome: Outcome, peer: Server, value: str) -> Row | None:
    figure = outcome.figure
    ours, theirs = values_of(outcome, figure.ours, value), values_of(outcome, peer, value)
    if not ours or not theirs:
        return None
    ratio = median(ours) / median(theirs)
    judged = peer in figure.peers and value in JUDGED[figure.measure]
    return Row(
        figure=figure.title,
        value=value,
        ours=spread(ours),
        peer=peer.label,
        theirs=spread(theirs),
        ratio=ratio,
        target=target(figure) if judged else None,
        reached=reached(figure, ratio) if judged else None,
    )


def values_of(outcome: Outcome, server: Server, value: str) -> list[float]:
    return [sample.values[value] for sample in outcome.samples if sample.server == server.label]


def target(figure: Figure) -> str:
    return f"{'at least' if figure.measure == 'rate' else 'at most'} {figure.target:g}"


def reached(figure: Figure, ratio: float) -> bool:
    return ratio >= figure.target if figure.measure == "rate" else ratio <= figure.target


def all_reached(outcomes: Sequence[Outcome]) -> bool:
    """Whether every figure is complete, without problems, and reaches its target against every peer."""
    return all(
        not outcome.failure
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
    cells = [row.figure, row.value, row.ours, row.peer, row.theirs, f"{row.ratio:.2f}", row.target or "", verdict]
    return f"| {' | '.join(map(str, cells))} |"


def complaints(outcome: Outcome) -> list[str]:
    return [*([outcome.failure] if outcome.failure else []), *problems(outcome)]


def command_lines(outcome: Outcome) -> list[str]:
    """Each server's, once: with its kind of interpreter for the path, and PORT for a port that differs every time."""
    figure = outcome.figure
    measured = {sample.server for sample in outcome.samples}
    return [
        " ".join(server.command(f"{server.build}-python", figure.app, 0)).replace("--port 0", "--port PORT")
        for server in figure.servers
        if server.label in measured
    ]


def write_json(path: Path, facts: dict[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Everything, raw and compared, replacing what the file said before."""
    figures = {
        outcome.figure.name: {
            "title": outcome.figure.title,
            "failure": outcome.failure,
            "rows": [asdict(row) for row in rows(outcome)],
            "samples": [asdict(sample) for sample in outcome.samples],
        }
        for outcome in outcomes
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps({**facts, "figures": figures}, indent=1) + "\n")
    beside.replace(path)
