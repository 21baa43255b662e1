"""`python -m loadtests report`: makes the reports of a run again."""

from pathlib import Path

import click

from loadtests.reports.writing import write
from loadtests.results import record


@click.command(name="report")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="[default: where RESULTS is]")
def report(results: Path, output: Path | None) -> int:
    """Write the page, the plots and the tables of RESULTS, a file of `compare` or `figures`.

    The exit code is 0, or 2 if the file cannot be read.
    """
    for path in write(record.read(results), output or results.parent):
        click.echo(f"Written: {path}", err=True)
    return 0
