"""The lines for what goes wrong on the command line.

Runs on the main thread, before the server and after it. It owns nothing and never ends the process.
"""

import importlib
import os
from difflib import get_close_matches
from pathlib import Path
from traceback import StackSummary, TracebackException

import click

from threadserve.errors import ConfigError

# What the commands that people come from call it.
ELSEWHERE = {
    "-w": "--workers",
    "-b": "--bind",
}

PACKAGE = Path(__file__).parents[1]

# Where the code that imports an application lives, which its traceback need not show.
LOADING = (f"{PACKAGE}{os.sep}", f"{Path(importlib.__file__).parent}{os.sep}", "<frozen importlib")


def unknown_option(name: str, command: click.Command) -> str:
    """The line for an option that there is not, with the one that may have been meant."""
    known = [flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)]
    meant = [ELSEWHERE[name]] if name in ELSEWHERE else get_close_matches(name, known, n=1, cutoff=0.8)
    return f"No such option '{name}'." + "".join(f" Did you mean {flag}?" for flag in meant)


def refusal(ctx: click.Context, error: ConfigError) -> str:
    """The line for a setting that `Config` refuses, with the option's name in place of the setting's."""
    for parameter in ctx.command.params:
        if parameter.name == error.option:
            return click.BadParameter(error.problem, ctx, parameter).format_message()
    return str(error)


def application_traceback(error: BaseException) -> str:
    """The traceback of an application's error, without the frames that loaded the application."""
    report = TracebackException.from_exception(error)
    report.stack = StackSummary.from_list([frame for frame in report.stack if not frame.filename.startswith(LOADING)])
    return "".join(report.format())
