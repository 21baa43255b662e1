"""The command line: `main` is what the command `threadserve` runs."""

from threadserve.cli.command import main

__all__ = ["main"]
