"""Writes all reports into a folder."""

from importlib.util import find_spec
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.reports import markdown
from loadtests.reports.summary import Summary
from loadtests.results.comparison import Results
from loadtests.results.files import replace_text


def require() -> None:
    """Raises LoadTestError where the libraries that reports need are not installed."""
    absent = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if absent:
        raise LoadTestError(f"reports need what is not installed: pip install {' '.join(absent)}")


def write(results: Results, folder: Path) -> list[Path]:
    """Writes `report.html`, `table.md` and a PNG for each plot that there is something to show of.

    Returns their paths. Makes the folder; raises LoadTestError where a library is missing.
    """
    require()
    # These take a second to import, and the command line is read without them.
    from loadtests.reports.drawing import png
    from loadtests.reports.page import page
    from loadtests.reports.plots import plots

    summary = Summary(results)
    drawn = plots(summary)
    texts = {"report.html": page(results, summary, drawn), "table.md": markdown.table(results)}
    for name, text in texts.items():
        replace_text(folder / name, text)
    for plot in drawn:
        (folder / f"{plot.name}.png").write_bytes(png(plot))
    return [folder / name for name in (*texts, *(f"{plot.name}.png" for plot in drawn))]
