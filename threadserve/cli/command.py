"""The command `threadserve`: it parses its options, runs the server, and turns errors into a line and an exit code.

Runs on the main thread, before the server and after it. It owns the process's exit code and the message when the server
cannot start.
"""

import logging
import os
import platform
import sys
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

import click

from threadserve.app.app_errors import format_app_traceback
from threadserve.cli.mistakes import (
    describe_config_error,
    describe_unknown_option,
    describe_unknown_variables,
    describe_uvicorn_variables,
)
from threadserve.cli.options import get_variable, is_given, make_option, write_record
from threadserve.config import groups, settings
from threadserve.config.config_file import find_config_file, read_config_file
from threadserve.errors import AppImportFailed, ConfigError, ThreadserveError
from threadserve.logging.formatters import iterate_handlers
from threadserve.running import run
from threadserve.runtime.exiting import exit_deadline
from threadserve.runtime.forms import get_form
from threadserve.runtime.gil import is_free_threaded_build
from threadserve.runtime.signals import ignoring_upkeep_signals
from threadserve.types import SettingValues
from threadserve.version import __version__

logger = logging.getLogger("threadserve.error")

CHECK_AS_TEXT = "--check=text"


class ExitCode(IntEnum):
    """The exit codes of the command itself; errors of the server have codes of their own."""

    CHECK_FAILED = 1
    BAD_USAGE = 2
    # 128 and the number of SIGINT, as a shell counts.
    INTERRUPTED = 130


class ThreadserveCommand(click.Command):
    """The command, with one line for a mistake and a heading for each group of options."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Run the command and end the process, whatever the application keeps running."""
        with exit_deadline():
            return super().__call__(*args, **kwargs)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command, which signals for a server do not end before there is one."""
        with ignoring_upkeep_signals():
            return super().main(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; a wrong one ends the process with one line, a missing one with the usage as well."""
        try:
            return super().parse_args(ctx, add_check_value(args))
        except click.MissingParameter:
            raise
        except click.NoSuchOption as error:
            stop(describe_unknown_option(error.option_name, self), ExitCode.BAD_USAGE)
        except click.UsageError as error:
            stop(error.format_message(), ExitCode.BAD_USAGE)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options' part of the help: a section for each group."""
        options = {each.name: each for each in self.get_params(ctx) if isinstance(each, click.Option)}
        sections = [(heading, [declared.name for declared in members]) for heading, members in groups()]
        of_settings = {name for _, names in sections for name in names}
        for heading, names in [*sections, ("Other", [name for name in options if name not in of_settings])]:
            with formatter.section(heading):
                for record in filter(None, (options[name].get_help_record(ctx) for name in names)):
                    write_record(formatter, *record)


def add_check_value(args: list[str]) -> list[str]:
    """Return the arguments with a value for a bare `--check`: what follows it is not its value."""
    end = args.index("--") if "--" in args else len(args)
    return [CHECK_AS_TEXT if arg == "--check" else arg for arg in args[:end]] + args[end:]


def show_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Write the versions and end the process."""
    if wanted and not ctx.resilient_parsing:
        build = "free-threaded" if is_free_threaded_build() else "with the GIL"
        python = f"{platform.python_implementation()} {platform.python_version()}"
        click.echo(f"threadserve {__version__} ({get_form()}), {python} ({build}), {platform.system()}")
        ctx.exit()


def load_config_file(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Keep the settings of a configuration file, for those that neither an option nor a variable sets."""
    try:
        found = path or find_config_file(Path())
        ctx.obj = read_config_file(found) if found is not None else {}
    except ConfigError as error:
        raise click.BadParameter(error.problem, ctx, parameter) from error
    if "app" in ctx.obj:
        ctx.default_map = {"app": ctx.obj.pop("app")}


@click.pass_context
def serve(ctx: click.Context, /, app: str, check: str | None, **values: object) -> None:
    """Run the server or the check, and turn an error into a line and an exit code."""
    given = {name: value for name, value in values.items() if is_given(ctx, name)}
    for line in (
        *describe_unknown_variables(os.environ, ctx.command),
        *describe_uvicorn_variables(os.environ, ctx.command),
    ):
        click.echo(f"Warning: {line}", err=True)
    try:
        if check is not None:
            report_check(ctx, app, {**ctx.obj, **given}, as_json=check == "json")
        run(app, **{**ctx.obj, **given})
    except KeyboardInterrupt:
        ctx.exit(ExitCode.INTERRUPTED)
    except ConfigError as error:
        stop(describe_config_error(ctx, error), error.exit_code)
    except ThreadserveError as error:
        if isinstance(error, AppImportFailed) and error.__cause__ is not None:
            click.echo(format_app_traceback(error.__cause__), err=True, nl=False)
        if "log_config" in {**ctx.obj, **given} and log_on_console(error):
            raise click.exceptions.Exit(error.exit_code) from error
        stop(str(error), error.exit_code)


def report_check(ctx: click.Context, app: str, settings: SettingValues, *, as_json: bool) -> NoReturn:
    """Write the findings of a check, and end the process."""
    # Imported here, because serving does not need it.
    from threadserve.check.run import check

    report = check(app, settings)
    click.echo(report.format_json() if as_json else report.format_text())
    ctx.exit(0 if report.is_ok else ExitCode.CHECK_FAILED)


def log_on_console(error: ThreadserveError) -> bool:
    """Log the error that stops the server, once; return whether a handler shows it on the console."""
    handlers = [each for each in iterate_handlers(logger) if each.level <= logging.ERROR]
    if not handlers or not logger.isEnabledFor(logging.ERROR):
        return False
    if not error.is_logged:
        logger.error("%s", error)
    return any(getattr(each, "stream", None) in (sys.stdout, sys.stderr) for each in handlers)


def stop(line: str, exit_code: int) -> NoReturn:
    """End the process with a line on stderr."""
    click.echo(f"Error: {line}", err=True)
    raise click.exceptions.Exit(exit_code)


main = ThreadserveCommand(
    "threadserve",
    params=[
        click.Argument(["app"], envvar=get_variable("app")),
        *(make_option(declared) for declared in settings()),
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            is_eager=True,
            expose_value=False,
            callback=load_config_file,
            envvar=get_variable("config"),
            metavar="FILE",
            help="Read settings from this TOML file, or from [tool.threadserve] in a pyproject.toml; without it from "
            "such a table in the working directory. Options and environment variables go before the file.",
        ),
        click.Option(
            ["--check"],
            type=click.Choice(["text", "json"]),
            metavar="[=text|json]",
            help="Do not serve: load the application in a process of its own, and say what will not survive threads. "
            "The exit code is 1 where something breaks.",
        ),
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
    help="Serve the application APP, written module:attribute, with an event loop in each of several threads.",
    epilog=f"An option can be set in the environment as well: --port 80 is {get_variable('port')}=80, a flag is =true "
    "or =false, and an option that may be repeated has a line for each value.",
    context_settings={"max_content_width": 100},
)
