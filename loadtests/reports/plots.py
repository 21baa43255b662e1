"""All plots of a comparison; those that nothing was measured for are left out."""

from loadtests.reports import blocked, curves, throughput
from loadtests.reports.drawing import Plot
from loadtests.reports.styles import styles
from loadtests.reports.summary import Summary


def plots(summary: Summary) -> list[Plot]:
    """In the order in which a page shows them."""
    drawn = styles(summary.servers)
    makers = (throughput.plots, blocked.plots, curves.scaling, curves.memory, curves.latency)
    return [plot for maker in makers for plot in maker(summary, drawn)]
