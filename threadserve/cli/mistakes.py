"""The messages for mistakes on the command line.

Runs on the main thread, before the server and after it. It owns nothing and never ends the process.
"""

from collections.abc import Mapping
from difflib import get_close_matches

import click

from threadserve.cli.options import PREFIX
from threadserve.cli.other_servers import EQUIVALENT_OPTIONS, UNNEEDED_OPTIONS
from threadserve.errors import ConfigError
from threadserve.runtime import forms

UVICORN_PREFIX = "UVICORN_"
# Variables that are no option's: they choose the form of the server that is run, or built.
FORM_VARIABLES = (forms.PURE_VARIABLE, "THREADSERVE_BUILD")


def describe_unknown_option(name: str, command: click.Command) -> str:
    """Return the line for an unknown option, with the one that may have been meant."""
    if name in UNNEEDED_OPTIONS:
        return f"No such option '{name}'. {UNNEEDED_OPTIONS[name]}"
    known = [flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)]
    equivalent = EQUIVALENT_OPTIONS.get(name)
    meant = [equivalent] if equivalent else get_close_matches(name, known, n=1, cutoff=0.8)
    return f"No such option '{name}'." + "".join(f" Did you mean {flag}?" for flag in meant)


def describe_unknown_variables(environ: Mapping[str, str], command: click.Command) -> list[str]:
    """Return a line for each unknown variable with our prefix, with the one that may have been meant."""
    known = [*FORM_VARIABLES, *(str(parameter.envvar) for parameter in command.params if parameter.envvar)]
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    return [
        f"There is no option for the environment variable {name}."
        + "".join(f" Did you mean {meant}?" for meant in get_close_matches(name, known, n=1, cutoff=0.85))
        for name in unknown
    ]


def describe_uvicorn_variables(environ: Mapping[str, str], command: click.Command) -> list[str]:
    """Return a line for the variables of Uvicorn's that set an option there and are not read here, if there are any."""
    known = [str(parameter.envvar) for parameter in command.params if parameter.envvar]
    names = {
        name: PREFIX + name.removeprefix(UVICORN_PREFIX) for name in sorted(environ) if name.startswith(UVICORN_PREFIX)
    }
    unread = {name: own for name, own in names.items() if environ[name] and own in known and own not in environ}
    if not unread:
        return []
    verb, called = ("is", "it is") if len(unread) == 1 else ("are", "they are")
    return [f"{', '.join(unread)} {verb} not read: {called} called {', '.join(unread.values())}."]


def describe_config_error(ctx: click.Context, error: ConfigError) -> str:
    """Return the line for a setting that `Config` refuses, with the option's name in place of the setting's."""
    for parameter in ctx.command.params:
        if parameter.name == error.option:
            return click.BadParameter(error.problem, ctx, parameter).format_message()
    return str(error)
