"""The plots with a line for each server: latency by percentile, and requests per second and memory by threads."""

from collections.abc import Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from loadtests.generators.result import RANKS
from loadtests.reports.drawing import LINE_HEIGHT, Panel, Plot, label_ends, milliseconds_axis
from loadtests.reports.styles import Style
from loadtests.reports.summary import Case, Summary, Value, label, requests_per_second, shared_threads
from loadtests.results.medians import Spread

SPREADS = "Lines are medians of the rounds, shades reach from the least to the greatest."
# How many times the least rate the greatest has to be for threads to matter.
SAME_PACE = 1.1
# What is drawn: places across with the value there; and each line with its name and style.
Points = list[tuple[float, Spread]]
Lines = list[tuple[str, Style, Points]]


def latency(summary: Summary, styles: dict[str, Style]) -> list[Plot]:
    """A plot for each scenario in which anything was answered."""
    found = []
    for scenario, title in summary.scenarios.items():
        cases = [case for case in summary.leading(scenario) if percentiles(case)]
        if cases:
            panel = latency_panel(title, cases, styles)
            found.append(Plot(f"latency-{scenario}", "Latency by percentile", SPREADS, [panel]))
    return found


def percentiles(case: Case) -> Points:
    known = [(float(place), case.percentile(rank)) for place, rank in enumerate(RANKS)]
    return [(place, found) for place, found in known if found]


def latency_panel(title: str, cases: list[Case], styles: dict[str, Style]) -> Panel:
    def draw(axes: Axes) -> None:
        lines = [(label(case, cases), styles[case.server], percentiles(case)) for case in cases]
        draw_lines(axes, lines)
        milliseconds_axis(axes)
        axes.set_xticks(range(len(RANKS)), [f"p{rank}" if rank != "100" else "max" for rank in RANKS])
        axes.set_xlabel(shared_threads(cases), loc="left")
        label_lines(axes, lines)

    return Panel(title, draw, height=height(len(cases)))


def scaling(summary: Summary, styles: dict[str, Style]) -> list[Plot]:
    """One plot with the scenarios that were measured with several numbers of threads; none where there are none."""
    shown = [scenario for scenario in summary.scenarios if rates_differ(summary.of(scenario))]
    panels = by_threads(shown, requests_per_second, summary, styles)
    caption = (
        f"{SPREADS} Scenarios in which the users alone set the pace, for all rates are within a tenth, are left out."
    )
    return [Plot("scaling", "Requests per second by threads or workers", caption, panels)] if panels else []


def rates_differ(cases: Sequence[Case]) -> bool:
    """Whether servers or numbers of threads matter to the rate at all."""
    medians = [case.requests_per_second.median for case in cases]
    return max(medians) > SAME_PACE * min(medians)


def memory(summary: Summary, styles: dict[str, Style]) -> list[Plot]:
    """One plot like `scaling`, but of scenarios with the same servers only the one with the most memory."""
    shown: dict[frozenset[str], str] = {}
    for scenario in sorted(summary.scenarios, key=lambda scenario: most_memory(summary.of(scenario))):
        shown[frozenset(case.server for case in summary.of(scenario))] = scenario
    panels = by_threads(
        [scenario for scenario in summary.scenarios if scenario in shown.values()], pss, summary, styles
    )
    caption = (
        f"PSS of all processes. {SPREADS} Of scenarios with the same servers, the one with the most memory is shown."
    )
    return [Plot("memory", "Memory in MB by threads or workers", caption, panels)] if panels else []


def pss(case: Case) -> Spread:
    return case.pss_mb


def most_memory(cases: Sequence[Case]) -> float:
    return max(case.pss_mb.median for case in cases)


def by_threads(scenarios: Sequence[str], value: Value, summary: Summary, styles: dict[str, Style]) -> list[Panel]:
    """A panel for each of these scenarios that has a server with several numbers of threads."""
    panels = []
    for scenario in scenarios:
        cases = summary.of(scenario)
        lines = [
            (server, styles[server], [(float(case.threads), found) for case in group if (found := value(case))])
            for server, group in groupby(cases, key=lambda case: case.server)
        ]
        if any(len(points) > 1 for _, _, points in lines):
            panels.append(threads_panel(summary.scenarios[scenario], lines))
    return panels


def threads_panel(title: str, lines: Lines) -> Panel:
    def draw(axes: Axes) -> None:
        draw_lines(axes, lines)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        numbers = sorted({x for _, _, points in lines for x, _ in points})
        axes.set_xscale("log", base=2)
        axes.set_xticks(numbers, [f"{number:g}" for number in numbers])
        axes.minorticks_off()
        axes.set_xlabel("threads or workers", loc="left")
        label_lines(axes, lines)

    return Panel(title, draw, height=height(len(lines)))


def draw_lines(axes: Axes, lines: Lines) -> None:
    for _, style, points in lines:
        across = [x for x, _ in points]
        least, greatest = [spread.least for _, spread in points], [spread.greatest for _, spread in points]
        axes.fill_between(across, least, greatest, color=style.colour, alpha=0.13, linewidth=0)
        axes.plot(
            across,
            [spread.median for _, spread in points],
            color=style.colour,
            linestyle=style.line,
            linewidth=style.width,
            marker=style.marker,
            markersize=4.5,
            zorder=style.layer,
        )


def label_lines(axes: Axes, lines: Lines) -> None:
    label_ends(axes, [(points[-1][0], points[-1][1].median, name, style) for name, style, points in lines])


def height(lines: int) -> float:
    """Inches in which so many names have room beside a panel."""
    return max(3.2, 1.3 * LINE_HEIGHT * lines + 1.2)
