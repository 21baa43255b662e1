"""Shows how far a comparison is, and how long it will take: a bar on a terminal, otherwise a line a sample."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

CLEAR_LINE = "\r\x1b[K"


@contextmanager
def progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """Give a function that takes a line, and how many more of `total` samples are done. It writes to stderr."""
    if not sys.stderr.isatty():
        yield lines(total)
        return
    with click.progressbar(length=total, label="Measuring", show_pos=True, file=sys.stderr) as bar:

        def show(line: str, done: int) -> None:
            click.echo(f"{CLEAR_LINE}{line}", err=True)
            bar.update(done)

        yield show


def lines(total: int) -> Callable[[str, int], None]:
    """Return a function that writes each line with the number of samples that are done."""
    count = 0

    def show(line: str, done: int) -> None:
        nonlocal count
        count += done
        click.echo(f"{count}/{total} {line}", err=True)

    return show
