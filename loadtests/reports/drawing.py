"""What all plots share: their parts, their look, the two forms they are written in, and names at the ends of lines."""

import io
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from loadtests.reports.styles import DARK, FAINT, GRID, INK, SURFACE, Style

DOTS_PER_INCH = 160
PANEL_WIDTH = 5.4  # Inches.
WIDE = 7.5  # Inches of a picture with one panel.
LINE_HEIGHT = 0.17  # Inches that a name takes beside a panel.
PADDING: Any = {"w_pad": 0.12, "h_pad": 0.12, "hspace": 0.02}  # Around each panel; inches, and a share of the height.
LOOK: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": FAINT,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titley": 1.0,  # Above the panel, without looking for a free place.
    "figure.facecolor": SURFACE,
    "figure.titlesize": 13,
    "figure.titleweight": "bold",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.solid_capstyle": "round",
    "svg.hashsalt": "threadserve",  # The same picture has the same ids.
    "text.color": INK,
    "text.parse_math": False,  # A dollar in a server's name is a dollar.
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}


@dataclass(frozen=True)
class Panel:
    """One diagram: what draws it, its title, and how high it is in inches."""

    title: str
    draw: Callable[[Axes], None]
    height: float


@dataclass(frozen=True)
class Plot:
    """Panels about one matter. `name` is the file's without its suffix; `caption` says how to read it."""

    name: str
    title: str
    caption: str
    panels: Sequence[Panel]


def png(plot: Plot) -> bytes:
    """All panels on one picture, in two columns where there are several."""
    columns = min(2, len(plot.panels))
    width = PANEL_WIDTH * columns if columns > 1 else WIDE
    rows = [plot.panels[start : start + columns] for start in range(0, len(plot.panels), columns)]
    heights = [max(panel.height for panel in row) for row in rows]
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=(width, sum(heights) + 0.9), layout=ConstrainedLayoutEngine(**PADDING))
        grid = figure.add_gridspec(len(rows), columns, height_ratios=heights)
        for number, panel in enumerate(plot.panels):
            draw(panel, figure.add_subplot(grid[divmod(number, columns)]))
        figure.suptitle(plot.title, x=0.012, ha="left")
        figure.supxlabel(wrapped(plot.caption, int(14.5 * width)), x=0.012, ha="left", size=8, color=FAINT)
        return written(figure, "png", dpi=DOTS_PER_INCH)


def svg(panel: Panel, prefix: str) -> str:
    """One panel as an element to stand in a page, whose colours follow the page's; `prefix` makes its ids its own."""
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=(PANEL_WIDTH, panel.height), layout="constrained")
        draw(panel, figure.add_subplot())
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        text = written(figure, "svg", transparent=True, metadata=nothing).decode()
    element = text[text.index("<svg") :]
    element = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", element)
    return re.sub("|".join(DARK), lambda found: f"var({variable(found[0])}, {found[0]})", element)


def variable(colour: str) -> str:
    """The CSS variable by which a page can replace a colour of the plots."""
    return f"--plot-{colour.removeprefix('#')}"


def draw(panel: Panel, axes: Axes) -> None:
    axes.set_title(wrapped(panel.title, 42))
    panel.draw(axes)


def written(figure: Figure, form: str, **options: Any) -> bytes:
    """The picture's bytes; afterwards the figure is empty, so that its cycles do not wait for the collector."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, **options)
    figure.clear()
    return buffer.getvalue()


def wrapped(text: str, width: int) -> str:
    return textwrap.fill(text, width)


def milliseconds_axis(axes: Axes) -> None:
    """Makes the vertical axis a logarithmic one of latencies."""
    axes.set_yscale("log")
    least, greatest = axes.get_ylim()
    steps = (1.0,) if greatest / least > 100 else (1.0, 2.0, 5.0)
    axes.yaxis.set_major_locator(LogLocator(subs=steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axes.yaxis.set_minor_locator(NullLocator())


def duration(milliseconds: float) -> str:
    """With the unit, as it stands beside an axis."""
    return f"{milliseconds / 1000:g} s" if milliseconds >= 1000 else f"{milliseconds:g} ms"


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, Style]]) -> None:
    """Writes the name of each line to the right of the panel, near its end at (x, y), none upon another."""
    axes.get_ylim()  # Lets the axes scale themselves to their data, which the transformation below rests on.
    scale = axes.transScale + axes.transLimits
    placed = sorted(((scale.transform((x, y)), name, style) for x, y, name, style in ends), key=lambda end: end[0][1])
    gap = LINE_HEIGHT / (0.75 * axes.bbox.height / axes.figure.dpi)
    heights = apart([end[1] for end, _, _ in placed], gap)
    for height, (end, name, style) in zip(heights, placed, strict=True):
        beside: Any = {"transform": axes.transAxes, "color": style.colour, "clip_on": False}
        axes.plot([end[0] + 0.02, 1.04], [end[1], height], linewidth=0.6, alpha=0.5, **beside)
        axes.text(1.05, height, name, va="center", weight=style.weight, size=8.5, **beside)


def apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Ascending heights, moved so that they are that far from each other, and below 1 as long as there is room."""
    placed: list[float] = []
    for height in wanted:
        placed.append(max(height, placed[-1] + gap) if placed else height)
    ceiling = 1.0
    for number in reversed(range(len(placed))):
        placed[number] = min(placed[number], ceiling)
        ceiling = placed[number] - gap
    return placed
