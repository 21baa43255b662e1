"""The page: one file of HTML that needs no other, in light and dark."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import jinja2
from markupsafe import Markup

from loadtests.reports import notes, overview, table
from loadtests.reports.drawing import Plot, svg, variable
from loadtests.reports.styles import DARK
from loadtests.reports.summary import Summary, counted_threads
from loadtests.results.comparison import Results

TEMPLATE = "page.html.jinja"
Part = TypeVar("Part", table.Row, notes.Commands)


def page(results: Results, summary: Summary, plots: Sequence[Plot]) -> str:
    """The whole page. Names and problems are text wherever they stand, whatever is in them."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        facts=notes.facts(results),
        date=results.facts.get("date", ""),
        commit=results.facts.get("commit", ""),
        grids=overview.grids(summary),
        plots=[(plot, drawings(plot)) for plot in plots],
        columns=table.COLUMNS,
        rows=by_scenario(summary, table.rows(summary)),
        missing=notes.missing(results, summary),
        problems=notes.problems(summary),
        commands=by_scenario(summary, notes.commands(summary)),
        summary=summary,
        counted_threads=counted_threads,
        dark_colours={variable(light): dark for light, dark in DARK.items()},
    )


def by_scenario(summary: Summary, parts: Sequence[Part]) -> list[tuple[str, list[Part]]]:
    """The parts of each scenario, with its title."""
    return [(title, [part for part in parts if part.scenario == name]) for name, title in summary.scenarios.items()]


def drawings(plot: Plot) -> list[tuple[str, Markup]]:
    """Each panel's title and picture; a plot's name keeps the ids of its panels apart from all others."""
    return [(panel.title, Markup(svg(panel, f"{plot.name}-{number}"))) for number, panel in enumerate(plot.panels)]
