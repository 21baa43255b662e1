"""`python -m loadtests report`: makes the reports of a comparison again."""

from pathlib import Path

import click

from loadtests.reports.writing import write
from loadtests.results import storage


@click.command(name="report")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="[default: where RESULTS is]")
def report(results: Path, output: Path | None) -> int:
    """Writes the page, the plots and the table of RESULTS, a results.json of `compare`.

    The exit code is 0, or 2 if the file cannot be read.
    """
    for path in write(storage.read(results), output or results.parent):
        click.echo(f"Written: {path}", err=True)
    return 0
