"""Who is better at what, at a glance: each server's medians as multiples of threadserve's, scenario by scenario."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from loadtests.reports.summary import Case, Summary, Value, is_ours, p99, requests_per_second, threads_differ

Winner = Literal["ours", "theirs", "nobody"]


# Medians that are closer than this are as good as the same.
TOLERANCE = 0.03


@dataclass(frozen=True)
class Measure:
    """What is compared, and which of several medians is the best."""

    title: str
    value: Value
    best: Callable[[Iterable[float]], float]


MEASURES = (Measure("Requests per second", requests_per_second, max), Measure("Latency, p99", p99, min))


@dataclass(frozen=True)
class Cell:
    """A server's multiple in one scenario; `threads` is told where it is not that of the other servers."""

    ratio: str = ""
    winner: Winner = "nobody"
    threads: str = ""


@dataclass(frozen=True)
class Grid:
    """A row of cells for each scenario's title, in the order of `servers`; `verdict` counts them."""

    title: str
    servers: list[str]
    rows: list[tuple[str, list[Cell]]]
    verdict: str


def grids(summary: Summary) -> list[Grid]:
    """One for each measure; none where threadserve or everybody else was not measured."""
    compared = any(map(is_ours, summary.servers)) and not all(map(is_ours, summary.servers))
    return [grid(summary, measure) for measure in MEASURES] if compared else []


def grid(summary: Summary, measure: Measure) -> Grid:
    others = summary.servers[1:]  # The first is what they are compared with.
    rows = [
        (title, [cell(summary, measure, summary.leading(scenario), server) for server in others])
        for scenario, title in summary.scenarios.items()
    ]
    return Grid(measure.title, others, rows, verdict(others, [cells for _, cells in rows]))


def verdict(servers: list[str], rows: list[list[Cell]]) -> str:
    """How often who is better, of all comparisons with servers that are not threadserve."""
    peers = [
        cell.winner
        for cells in rows
        for server, cell in zip(servers, cells, strict=True)
        if cell.ratio and not is_ours(server)
    ]
    return (
        f"threadserve was better in {peers.count('ours')} of {len(peers)} comparisons, the other server in "
        f"{peers.count('theirs')}, and nobody clearly in {peers.count('nobody')}."
    )


def cell(summary: Summary, measure: Measure, cases: list[Case], server: str) -> Cell:
    case = next((case for case in cases if case.server == server), None)
    ratio = summary.ratio(case, measure.value) if case else None
    if case is None or ratio is None:
        return Cell()
    winner = better(summary, measure, case) if abs(ratio - 1) >= TOLERANCE else "nobody"
    return Cell(f"{ratio:.2f}", winner, str(case.threads) if threads_differ(cases) else "")


def better(summary: Summary, measure: Measure, case: Case) -> Winner:
    """Whose rounds are all better than the other's; nobody's where they overlap, or there is only one."""
    reference = summary.reference(case)
    theirs, ours = measure.value(case), measure.value(reference) if reference else None
    if not reference or not theirs or not ours or min(len(case.samples), len(reference.samples)) < 2:
        return "nobody"
    if max(theirs.least, ours.least) <= min(theirs.greatest, ours.greatest):
        return "nobody"
    return "theirs" if measure.best((theirs.median, ours.median)) == theirs.median else "ours"
