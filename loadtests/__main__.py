"""`python -m loadtests COMMAND`: every command's options are under `--help`."""

import signal
import sys

import click

from loadtests.comparing.command import compare
from loadtests.errors import INTERRUPTED
from loadtests.figures.command import figures
from loadtests.micro.command import micro
from loadtests.soak.command import soak


@click.group()
def loadtests() -> None:
    """Put threadserve and its peers under load, and tell what they make of it."""


for command in (figures, compare, micro, soak):
    loadtests.add_command(command)


def main() -> int:
    """Run the command; return the exit code. SIGTERM interrupts like SIGINT: what was measured is kept."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code: int = loadtests.main(prog_name="python -m loadtests", standalone_mode=False)
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return code


if __name__ == "__main__":
    sys.exit(main())
