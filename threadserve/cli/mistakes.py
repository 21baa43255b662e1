"""The lines for what goes wrong on the command line.

Runs on the main thread, before the server and after it. It owns nothing and never ends the process.
"""

from collections.abc import Mapping
from difflib import get_close_matches

import click

from threadserve.cli.elsewhere import ELSEWHERE, NEEDLESS
from threadserve.cli.options import PREFIX
from threadserve.errors import ConfigError
from threadserve.runtime import forms

UVICORNS = "UVICORN_"
# What asks for a form of the server, to be run and to be built, and is no option's.
FORMS = (forms.PURE_VARIABLE, "THREADSERVE_BUILD")


def unknown_option(name: str, command: click.Command) -> str:
    """The line for an option that there is not, with the one that may have been meant, or none that is needed."""
    if name in NEEDLESS:
        return f"No such option '{name}'. {NEEDLESS[name]}"
    known = [flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)]
    meant = [ELSEWHERE[name]] if name in ELSEWHERE else get_close_matches(name, known, n=1, cutoff=0.8)
    return f"No such option '{name}'." + "".join(f" Did you mean {flag}?" for flag in meant)


def unknown_variables(environ: Mapping[str, str], command: click.Command) -> list[str]:
    """A line for each environment variable that looks like an option's and is none's, with what may have been meant."""
    known = [*FORMS, *(str(parameter.envvar) for parameter in command.params if parameter.envvar)]
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    return [
        f"There is no option for the environment variable {name}."
        + "".join(f" Did you mean {meant}?" for meant in get_close_matches(name, known, n=1, cutoff=0.85))
        for name in unknown
    ]


def uvicorns_variables(environ: Mapping[str, str], command: click.Command) -> list[str]:
    """A line for the options that are set by Uvicorn's names for their variables alone, with ours."""
    known = [str(parameter.envvar) for parameter in command.params if parameter.envvar]
    names = {name: PREFIX + name.removeprefix(UVICORNS) for name in sorted(environ) if name.startswith(UVICORNS)}
    unread = {name: own for name, own in names.items() if environ[name] and own in known and own not in environ}
    if not unread:
        return []
    verb, called = ("is", "it is") if len(unread) == 1 else ("are", "they are")
    return [f"{', '.join(unread)} {verb} not read: {called} called {', '.join(unread.values())}."]


def refusal(ctx: click.Context, error: ConfigError) -> str:
    """The line for a setting that `Config` refuses, with the option's name in place of the setting's."""
    for parameter in ctx.command.params:
        if parameter.name == error.option:
            return click.BadParameter(error.problem, ctx, parameter).format_message()
    return str(error)
