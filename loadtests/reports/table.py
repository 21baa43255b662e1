"""The cells of the table of all cases, which the page and the Markdown file show alike."""

from dataclasses import dataclass

from loadtests.reports.summary import Case, Summary, is_ours, p99, requests_per_second
from loadtests.results.medians import Spread, short

COLUMNS = (
    "scenario",
    "server",
    "threads or workers",
    "requests/s: median (least-greatest)",
    "ratio to threadserve",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "errors",
    "CPU ms per request",
    "PSS MB",
    "OS threads",
)


@dataclass(frozen=True)
class Cell:
    """One cell; `best` where nobody else did better in the scenario with as many threads."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One case; the cells are in the order of `COLUMNS`."""

    scenario: str
    is_ours: bool
    cells: list[Cell]


def rows(summary: Summary) -> list[Row]:
    """A row for every case, in the summary's order."""
    return [Row(case.scenario, is_ours(case.server), cells(case, summary)) for case in summary.cases]


def cells(case: Case, summary: Summary) -> list[Cell]:
    ratio = summary.ratio(case, requests_per_second)
    return [
        Cell(summary.scenarios[case.scenario]),
        Cell(case.server),
        Cell(str(case.threads)),
        Cell(str(case.requests_per_second), summary.is_best(case, requests_per_second, max)),
        Cell("" if ratio is None else f"{ratio:.2f}"),
        Cell(median(case.percentile("50"))),
        Cell(median(p99(case)), summary.is_best(case, p99, min)),
        Cell(median(case.percentile("99.9"))),
        Cell(f"{sum(case.errors.values()):,}"),
        Cell(median(case.cpu_milliseconds)),
        Cell(median(case.pss_mb)),
        Cell(f"{case.os_threads.median:.0f}"),
    ]


def median(spread: Spread | None) -> str:
    """The median alone; "" where nothing was measured."""
    return "" if spread is None else short(spread.median)
