"""Writes all reports of a record into a folder."""

import base64
from importlib.util import find_spec
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.reports.sections import markdown, sections
from loadtests.reports.summary import Summary
from loadtests.results.files import replace_text
from loadtests.results.record import Results

TEMPLATE = Path(__file__).with_name("page.html.jinja")


def require() -> None:
    """Raise LoadTestError where the libraries that reports need are not installed."""
    absent = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if absent:
        raise LoadTestError(f"reports need what is not installed: pip install {' '.join(absent)}")


def write(results: Results, folder: Path) -> list[Path]:
    """Write `report.html`, which needs no other file, `table.md` and a PNG for each plot that has something to show.

    Makes the folder; returns the paths. Names and problems are text wherever they stand. Raises LoadTestError where a
    library is missing.
    """
    require()
    # They take a second to import, and the command line is read without them.
    import jinja2

    from loadtests.reports.plots import plots

    drawn = plots(Summary(results))
    template = jinja2.Template(
        TEMPLATE.read_text(), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    pictures = [(plot, base64.b64encode(plot.picture("svg")).decode()) for plot in drawn]
    page = template.render(plots=pictures, sections=sections(results), date=results.facts.get("date", ""))
    texts = {"report.html": page, "table.md": markdown(results)}
    for name, text in texts.items():
        replace_text(folder / name, text)
    for plot in drawn:
        (folder / f"{plot.name}.png").write_bytes(plot.picture("png"))
    return [folder / name for name in (*texts, *(f"{plot.name}.png" for plot in drawn))]
