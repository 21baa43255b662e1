"""The plot of latency over time while some requests block their threads: a panel for each server."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from loadtests.reports.drawing import Panel, Plot, milliseconds_axis
from loadtests.reports.styles import Style
from loadtests.reports.summary import Case, Summary, label
from loadtests.results.comparison import Sample

SCENARIO = "mixed"
BUCKET = 0.2  # Seconds.
CAPTION = (
    "Quick requests, while one request in a hundred holds its thread for half a second. In each fifth of a second the "
    "line is the median, and the shade reaches up to the slowest. Of several rounds it is the one in the middle by the "
    "latency that one request in a hundred exceeds."
)


@dataclass(frozen=True)
class Bucket:
    """The requests that ended within `BUCKET` seconds around `second`; latencies in milliseconds."""

    second: float
    median: float
    slowest: float


@dataclass(frozen=True)
class Frame:
    """The limits that all panels have in common: the last second, and the least and greatest latency."""

    seconds: float
    least: float
    greatest: float


def plots(summary: Summary, styles: dict[str, Style]) -> list[Plot]:
    """One plot, or none where no load generator told the latency of single requests."""
    cases = summary.leading(SCENARIO)
    known = [(case, buckets(sample.load.timeline)) for case in cases if (sample := middle_round(case))]
    if not known:
        return []
    every = [bucket for _, found in known for bucket in found]
    frame = Frame(
        seconds=max(bucket.second for bucket in every) + BUCKET / 2,
        least=max(min(bucket.median for bucket in every), 0.05) / 1.6,
        greatest=max(bucket.slowest for bucket in every) * 1.6,
    )
    panels = [panel(label(case, cases), found, styles[case.server], frame) for case, found in known]
    return [Plot("blocked", "Latency while threads are blocked", CAPTION, panels)]


def middle_round(case: Case) -> Sample | None:
    """The round with the median p99, the better one of two; None where none has told single requests."""
    told = sorted((one for one in case.samples if one.load.timeline), key=lambda one: one.load.percentiles["99"])
    return told[(len(told) - 1) // 2] if told else None


def buckets(timeline: Sequence[tuple[float, float]]) -> list[Bucket]:
    """The times in which requests ended, in order; one in which none did is not there."""
    ordered = sorted(timeline)
    return [
        bucket(number, [latency for _, latency in requests])
        for number, requests in groupby(ordered, key=lambda request: int(request[0] // BUCKET))
    ]


def bucket(number: int, latencies: list[float]) -> Bucket:
    return Bucket((number + 0.5) * BUCKET, median(latencies), max(latencies))


def panel(title: str, found: list[Bucket], style: Style, frame: Frame) -> Panel:
    def draw(axes: Axes) -> None:
        seconds = [bucket.second for bucket in found]
        medians = [bucket.median for bucket in found]
        slowest = [bucket.slowest for bucket in found]
        axes.fill_between(seconds, medians, slowest, color=style.colour, alpha=0.25, linewidth=0)
        axes.plot(seconds, slowest, color=style.colour, linewidth=0.6, alpha=0.7)
        axes.plot(seconds, medians, color=style.colour, linewidth=style.width)
        axes.set_xlim(0, frame.seconds)
        axes.set_ylim(frame.least, frame.greatest)
        milliseconds_axis(axes)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))

    return Panel(title, draw, height=2.0)
