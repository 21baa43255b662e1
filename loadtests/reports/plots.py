"""The plots of a comparison; those that nothing was measured for are left out."""

import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtests.generators.result import RANKS
from loadtests.reports.summary import Case, Summary, is_ours, label
from loadtests.results.medians import Spread, short
from loadtests.results.record import RATE, Sample

SPREADS = "Lines are medians of the rounds, shades reach from the least to the greatest."
BARS = "Bars are medians of the rounds, lines reach from the least to the greatest; with the most threads or workers."
BLOCKED = "Quick requests, while one in a hundred holds its thread for half a second: the median, up to the slowest."
# Where the greatest rate is not so many times the least, users alone set the pace, and threads do not matter.
SAME_PACE = 1.1
# The scenario whose timeline is drawn, in parts of so many seconds.
BLOCKED_SCENARIO = "mixed"
BUCKET_SECONDS = 0.2
DOTS_PER_INCH = 160
LOOK: Any = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "font.size": 9,
    "grid.color": "#e3e6ea",
    "svg.hashsalt": "threadserve",  # The same picture has the same ids.
    "text.parse_math": False,  # A dollar in a server's name is a dollar.
}
# Places across with the value there, and all of them by the name of the line.
Points = list[tuple[float, Spread]]
Lines = dict[str, Points]


@dataclass(frozen=True)
class Panel:
    """One diagram: its title, what draws it, and how high it is in inches."""

    title: str
    draw: Callable[[Axes], None]
    height: float = 3.2


@dataclass(frozen=True)
class Plot:
    """Panels about one matter. `name` is the file's without its suffix; `caption` says how to read it."""

    name: str
    title: str
    caption: str
    panels: Sequence[Panel]

    def picture(self, form: Literal["png", "svg"]) -> bytes:
        """Return all panels on one picture, in two columns where there are several, with one legend."""
        columns = min(2, len(self.panels))
        rows = [self.panels[start : start + columns] for start in range(0, len(self.panels), columns)]
        heights = [max(panel.height for panel in row) for row in rows]
        buffer = io.BytesIO()
        with mpl.rc_context(LOOK):
            figure = Figure(figsize=(3 + 4.5 * columns, sum(heights) + 1.5), layout="constrained")
            grid = figure.add_gridspec(len(rows), columns, height_ratios=heights)
            lines: dict[str, Any] = {}
            for number, panel in enumerate(self.panels):
                axes = figure.add_subplot(grid[divmod(number, columns)])
                axes.set_title(textwrap.fill(panel.title, 60), weight="bold")
                panel.draw(axes)
                lines |= {name: line for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
            figure.suptitle(self.title, x=0.012, ha="left", size=13, weight="bold")
            if lines:
                figure.legend(lines.values(), lines.keys(), loc="outside lower left", ncols=2, frameon=False)
            figure.savefig(buffer, format=form, dpi=DOTS_PER_INCH)
            # Its cycles shall not wait for the collector.
            figure.clear()
        return buffer.getvalue()


def plots(summary: Summary) -> list[Plot]:
    """Return all plots, in the order in which a page shows them."""
    names = list(summary.scenarios)
    paced = [name for name in names if rates_differ(summary.of(name))]
    scaling = [panel for name in paced for panel in by_threads(summary, name, RATE)]
    memory = [panel for name in names for panel in by_threads(summary, name, "PSS MB")]
    found = [
        Plot("throughput", "Requests per second", BARS, [bars(summary, name) for name in names]),
        Plot("blocked", "Latency while threads are blocked", BLOCKED, timelines(summary)),
        Plot("scaling", "Requests per second by threads or workers", SPREADS, scaling),
        Plot("memory", "Memory (PSS) in MB by threads or workers", SPREADS, memory),
        Plot(
            "latency", "Latency by percentile", SPREADS, [panel for name in names for panel in latency(summary, name)]
        ),
    ]
    return [plot for plot in found if plot.panels]


def colour(server: str, servers: Sequence[str]) -> str:
    """Return the colour of a server: threadserve's is always the same, as it stands first."""
    return f"C{(servers.index(server) + 1) % 10}"


def bars(summary: Summary, scenario: str) -> Panel:
    """Return the panel of a scenario's rates: a bar for each server."""
    cases = sorted(summary.leading(scenario), key=lambda case: case.median(RATE))
    most = max(case.median(RATE) for case in cases)

    def draw(axes: Axes) -> None:
        for place, case in enumerate(cases):
            rate = case.spread(RATE) or Spread(0, 0, 0)
            axes.barh(place, rate.median, color=colour(case.server, summary.servers), height=0.66)
            axes.plot([rate.least, rate.greatest], [place, place], "|-", color="black", linewidth=1.3)
            axes.text(rate.greatest + 0.015 * most, place, short(rate.median), va="center")
        axes.set_yticks(range(len(cases)), [label(case, cases) for case in cases])
        for text, case in zip(axes.get_yticklabels(), cases, strict=True):
            text.set_fontweight("bold" if is_ours(case.server) else "normal")
        axes.set_xlim(0, 1.3 * most or 1)
        axes.grid(axis="y", visible=False)

    return Panel(summary.scenarios[scenario], draw, height=1.0 + 0.27 * len(cases))


def lines_of(cases: Sequence[Case], points: Callable[[Case], Points]) -> Lines:
    """Return a line for each server, of the points that its cases have."""
    lines: Lines = {}
    for case in cases:
        lines.setdefault(case.server, []).extend(points(case))
    return {server: found for server, found in lines.items() if found}


def latency(summary: Summary, scenario: str) -> list[Panel]:
    """Return the panel of latencies by their percentile, none where nothing was answered."""

    def points(case: Case) -> Points:
        return [(float(at), found) for at, rank in enumerate(RANKS) if (found := case.spread(f"p{rank} ms"))]

    lines = lines_of(summary.leading(scenario), points)

    def draw(axes: Axes) -> None:
        draw_lines(axes, lines, summary)
        milliseconds_axis(axes)
        axes.set_xticks(range(len(RANKS)), [f"p{rank}" if rank != "100" else "max" for rank in RANKS])

    return [Panel(summary.scenarios[scenario], draw)] if lines else []


def by_threads(summary: Summary, scenario: str, value: str) -> list[Panel]:
    """Return the panel of a value by threads, none where no server has several numbers of them."""

    def points(case: Case) -> Points:
        return [(float(case.threads), found)] if (found := case.spread(value)) else []

    lines = lines_of(summary.of(scenario), points)
    numbers = sorted({number for line in lines.values() for number, _ in line})

    def draw(axes: Axes) -> None:
        draw_lines(axes, lines, summary)
        axes.set_ylim(bottom=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks(numbers, [f"{number:g}" for number in numbers])
        axes.minorticks_off()

    return [Panel(summary.scenarios[scenario], draw)] if any(len(line) > 1 for line in lines.values()) else []


def milliseconds_axis(axes: Axes) -> None:
    """Make the vertical axis a logarithmic one of latencies."""
    axes.set(yscale="log", ylabel="ms")
    axes.yaxis.set_major_formatter("{x:g}")


def draw_lines(axes: Axes, lines: Lines, summary: Summary) -> None:
    for name, points in lines.items():
        across, spreads = [x for x, _ in points], [spread for _, spread in points]
        drawn, width = colour(name, summary.servers), 2.6 if is_ours(name) else 1.5
        least, greatest = [spread.least for spread in spreads], [spread.greatest for spread in spreads]
        axes.fill_between(across, least, greatest, color=drawn, alpha=0.13, linewidth=0)
        axes.plot(across, [spread.median for spread in spreads], "o-", color=drawn, linewidth=width, label=name)


def rates_differ(cases: Sequence[Case]) -> bool:
    """Return whether servers or numbers of threads matter to the rate at all."""
    medians = [case.median(RATE) for case in cases]
    return max(medians) > SAME_PACE * min(medians)


def timelines(summary: Summary) -> list[Panel]:
    """Return a panel for each server of which single requests were told, all with the same axes."""
    cases = summary.leading(BLOCKED_SCENARIO)
    known = [(case, buckets(sample.timeline)) for case in cases if (sample := middle_round(case))]
    slowest = max((taken for _, found in known for _, _, taken in found), default=1.0)

    def panel(case: Case, found: list[tuple[float, float, float]]) -> Panel:
        def draw(axes: Axes) -> None:
            seconds, medians, worst = zip(*found, strict=True)
            drawn = colour(case.server, summary.servers)
            axes.fill_between(seconds, medians, worst, color=drawn, alpha=0.25, linewidth=0)
            axes.plot(seconds, medians, color=drawn)
            axes.set(xlabel="s", ylim=(0.3, 1.6 * slowest))
            milliseconds_axis(axes)

        return Panel(label(case, cases), draw, height=2.0)

    return [panel(case, found) for case, found in known]


def middle_round(case: Case) -> Sample | None:
    """Return the round with the median p99, the better one of two; None where none has told single requests."""
    told = sorted((one for one in case.samples if one.timeline), key=lambda one: one.values["p99 ms"])
    return told[(len(told) - 1) // 2] if told else None


def buckets(timeline: Sequence[tuple[float, float]]) -> list[tuple[float, float, float]]:
    """Return the middle of each part of the time in which requests ended, with their median and slowest latency."""
    found = []
    for number, requests in groupby(sorted(timeline), key=lambda request: int(request[0] // BUCKET_SECONDS)):
        latencies = [taken for _, taken in requests]
        found.append(((number + 0.5) * BUCKET_SECONDS, median(latencies), max(latencies)))
    return found
