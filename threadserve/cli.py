"""The command line: an option, an environment variable and a line of the help for every setting of `config`.

Runs on the main thread, before the server and after it. It owns the process's exit code and what is written when the
server cannot start; it never says anything about a setting that `config` could say.
"""

import importlib
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import Field
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from traceback import StackSummary, TracebackException
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from threadserve.config import choices, free_threaded_build, plain_types, problem_with, settings
from threadserve.errors import AppImportFailed, ConfigError, ThreadserveError
from threadserve.server import run
from threadserve.version import __version__

BAD_USAGE = 2
INTERRUPTED = 130  # 128 and the number of SIGINT, as a shell counts.

# What the commands that people come from call it.
ELSEWHERE = {
    "--workers": "--threads",
    "-w": "--threads",
    "--bind": "--host and --port",
    "-b": "--host and --port",
}

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"

# Where the code that imports an application lives, which its traceback need not show.
LOADING = (f"{Path(__file__).parent}{os.sep}", f"{Path(importlib.__file__).parent}{os.sep}", "<frozen importlib")

NAMES_WIDTH = 30  # Of the column of the options' names in the help, with the space around them.


class Command(click.Command):
    """The command, with one line for a mistake and a heading for each group of options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the arguments; a wrong one ends the process with one line, a missing one with the usage as well."""
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter:
            raise
        except click.NoSuchOption as error:
            stop(unknown_option(error.option_name, self), BAD_USAGE)
        except click.UsageError as error:
            stop(error.format_message(), BAD_USAGE)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options' part of the help: a section for each group."""
        groups = {declared.name: declared.metadata["group"] for declared in settings()}
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        for heading, members in groupby(options, lambda option: groups.get(option.name, "Other")):
            with formatter.section(heading):
                for record in filter(None, (member.get_help_record(ctx) for member in members)):
                    write_record(formatter, *record)


class Switch(click.types.BoolParamType):
    """The value of a flag, which is a text when an environment variable has it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """True or False, or the text, for the check to refuse."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            return value


class SettingOption(click.Option):
    """The option of one setting."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Names the option, and the environment variable if the value came from there."""
        hint = f"'{self.opts[0]}'"
        if ctx is not None and ctx.get_parameter_source(self.name) is ParameterSource.ENVIRONMENT:
            hint += f" (environment variable {self.envvar})"
        return hint

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """The variable's text, or its lines if the option may be repeated: a header has spaces, where Click splits.

        Read here, for in Click 8.2 a flag's variable turns the flag on whatever its value is.
        """
        text = os.environ.get(variable(self.name)) or None
        return text.splitlines() if self.multiple and text is not None else text


def option(declared: Field[Any]) -> click.Option:
    """The option of a setting, made from its declaration."""
    metadata = declared.metadata
    kind = plain_types(declared)[0]
    flag = metadata["flag"] or f"--{declared.name.replace('_', '-')}"
    can_be_denied = kind is bool and declared.default is not False
    return SettingOption(
        [declared.name, f"{flag}/--no-{flag[2:]}" if can_be_denied else flag],
        type=READERS[kind],
        is_flag=kind is bool,
        multiple=kind is Sequence,
        default=declared.default,
        metavar=None if kind is bool else value_name(declared, kind),
        help=help_text(declared),
        envvar=variable(declared.name),
        callback=checker(declared),
    )


def unknown_option(name: str, command: click.Command) -> str:
    """The line for an option that there is not, with the one that may have been meant."""
    known = [flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)]
    meant = [ELSEWHERE[name]] if name in ELSEWHERE else get_close_matches(name, known, n=1, cutoff=0.8)
    return f"No such option '{name}'." + "".join(f" Did you mean {flag}?" for flag in meant)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"THREADSERVE_{name.upper()}"


def help_text(declared: Field[Any]) -> str:
    """What the help says about an option: what it is for, and its default if that is anything."""
    shown = declared.metadata["shown_default"] or ("on" if declared.default is True else declared.default)
    text: str = declared.metadata["help"]
    if shown is False or shown in ("", ()):
        return text
    return f"{text} [default:{NO_BREAK_SPACE}{shown}]"


def value_name(declared: Field[Any], kind: type) -> str:
    """What the help calls the value of an option."""
    if allowed := choices(declared):
        return f"[{'|'.join(allowed)}]"
    return declared.metadata["metavar"] or {int: "N", float: "SECONDS"}[kind]


def write_record(formatter: click.HelpFormatter, names: str, text: str) -> None:
    """Writes an option's part of the help. Unlike Click's `write_dl` it never breaks a line within an option's name."""
    margin = " " * NAMES_WIDTH
    lines = wrap(text, formatter.width, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)
    beginning = " " * formatter.current_indent + names
    if len(beginning) < NAMES_WIDTH - 1:
        lines[0] = beginning + lines[0][len(beginning) :]
    else:
        lines.insert(0, beginning)
    formatter.write("".join(f"{line}\n" for line in lines).replace(NO_BREAK_SPACE, " "))


def checker(declared: Field[Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback of Click's that checks an option's value as `Config` does."""

    def check(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        problem = problem_with(declared, value)
        if problem is not None:
            raise click.BadParameter(problem, ctx, parameter)
        return value

    return check


def number(text: str, kind: type[int] | type[float]) -> int | float | str:
    """The number that a text is, or the text, for the check to refuse."""
    try:
        return kind(text)
    except ValueError:
        return text


def header(text: str) -> tuple[str, str]:
    """A header's name and value, without the white space around the value (RFC 9110, section 5.5)."""
    name, colon, value = text.partition(":")
    if not colon:
        raise click.BadParameter(f"{text!r} has no colon; a header is Name:Value")
    return name, value.strip(" \t")


READERS: dict[Any, Any] = {
    str: str,
    bool: Switch(),
    int: lambda text: number(text, int),
    float: lambda text: number(text, float),
    Sequence: header,
}


def show_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Writes the versions and ends the process."""
    if wanted and not ctx.resilient_parsing:
        build = "free-threaded" if free_threaded_build() else "with the GIL"
        python = f"{platform.python_implementation()} {platform.python_version()}"
        click.echo(f"threadserve {__version__}, {python} ({build}), {platform.system()}")
        ctx.exit()


@click.pass_context
def serve(ctx: click.Context, /, app: str, **given: Any) -> None:
    """Runs the server, and turns what stops it into a line and an exit code."""
    try:
        run(app, **given)
    except KeyboardInterrupt:
        ctx.exit(INTERRUPTED)
    except ConfigError as error:
        stop(refusal(ctx, error), error.exit_code)
    except ThreadserveError as error:
        if isinstance(error, AppImportFailed) and error.__cause__ is not None:
            click.echo(application_traceback(error.__cause__), err=True, nl=False)
        stop(str(error), error.exit_code)


def stop(line: str, exit_code: int) -> NoReturn:
    """Ends the process with a line on stderr."""
    click.echo(f"Error: {line}", err=True)
    raise click.exceptions.Exit(exit_code)


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


main = Command(
    "threadserve",
    params=[
        click.Argument(["app"], envvar=variable("app")),
        *(option(declared) for declared in settings()),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=show_version,
            help="Show the versions of threadserve and Python.",
        ),
    ],
    callback=serve,
    help="Serve the ASGI application APP, written module:attribute, with an event loop in each of several threads.",
    epilog=f"An option can be set in the environment as well: --port 80 is {variable('port')}=80, a flag is =true or "
    "=false.",
    context_settings={"max_content_width": 100},
)
