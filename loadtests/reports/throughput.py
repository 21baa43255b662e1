"""The plot of requests per second: a panel for each scenario, a bar for each server."""

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from loadtests.reports.drawing import Panel, Plot
from loadtests.reports.styles import FAINT, INK, SURFACE, Style
from loadtests.reports.summary import Case, Summary, label, shared_threads
from loadtests.results.medians import short

CAPTION = (
    "Bars are medians of the rounds, lines reach from the least to the greatest. Of servers with several numbers of "
    "threads or workers the greatest is shown; it stands in brackets where it is not the same for all."
)


def plots(summary: Summary, styles: dict[str, Style]) -> list[Plot]:
    """One plot, or none without samples."""
    panels = [panel(title, summary.leading(scenario), styles) for scenario, title in summary.scenarios.items()]
    return [Plot("throughput", "Requests per second", CAPTION, panels)] if panels else []


def panel(title: str, cases: list[Case], styles: dict[str, Style]) -> Panel:
    def draw(axes: Axes) -> None:
        ranked = sorted(cases, key=lambda case: case.requests_per_second.median)
        greatest = max(case.requests_per_second.greatest for case in ranked)
        for place, case in enumerate(ranked):
            bar(axes, place, case, styles[case.server], greatest)
        name_bars(axes, [(label(case, cases), styles[case.server]) for case in ranked])
        axes.set_xlim(0, 1.2 * greatest or 1)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel(shared_threads(cases), loc="left")
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)

    return Panel(title, draw, height=1.0 + 0.27 * len(cases))


def bar(axes: Axes, place: int, case: Case, style: Style, greatest: float) -> None:
    rate = case.requests_per_second
    axes.barh(place, rate.median, height=0.66, color=SURFACE)  # So that the grid does not shine through.
    axes.barh(place, rate.median, height=0.66, color=style.colour, alpha=style.opacity)
    axes.plot([rate.least, rate.greatest], [place, place], color=INK, linewidth=1.3, solid_capstyle="butt")
    axes.plot([rate.least, rate.greatest], [place, place], "|", color=INK, markersize=6)
    axes.text(rate.greatest + 0.015 * greatest, place, short(rate.median), va="center", size=8.5, weight=style.weight)


def name_bars(axes: Axes, names: list[tuple[str, Style]]) -> None:
    axes.set_yticks(range(len(names)), [name for name, _ in names])
    for text, (_, style) in zip(axes.get_yticklabels(), names, strict=True):
        text.set_color(INK if style.strong else FAINT)
        text.set_fontweight(style.weight)
