"""The options of the command line, made from the declarations of the settings.

Runs on the main thread before the server does. It owns nothing; it never says anything about a setting that its
declaration could say.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field
from textwrap import wrap
from typing import Any, get_args, get_origin

import click
from click.core import ParameterSource

from threadserve.config.declaring import allowed_texts, find_problem, value_types

PREFIX = "THREADSERVE_"
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
# Of the column of the options' names in the help, with the space around them.
NAMES_WIDTH = 30


class FlagValue(click.types.BoolParamType):
    """The type of a flag's value, which is text when it comes from an environment variable."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return True or False, or the text, for the check to refuse."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            return value


class SettingOption(click.Option):
    """The option of one setting."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Return the option's name, with the environment variable's if the value came from there."""
        hint = f"'{self.opts[0]}'"
        if ctx is not None and ctx.get_parameter_source(self.name) is ParameterSource.ENVIRONMENT:
            hint += f" (environment variable {self.envvar})"
        return hint

    def value_from_envvar(self, ctx: click.Context) -> list[str] | str | None:
        """Return the variable's text, or its lines if the option may be repeated: Click would split headers at spaces.

        In Click 8.2 a flag's variable would turn the flag on whatever its value is.
        """
        text = os.environ.get(get_variable(self.name)) or None
        return text.splitlines() if self.multiple and text is not None else text


def make_option(declared: Field[object]) -> click.Option:
    """Return the option of a setting. Of the types that its value may have, the first is parsed."""
    metadata = declared.metadata
    hint = value_types(declared)[0]
    kind = get_origin(hint) or hint
    is_flag = kind is bool and not metadata["takes_value"]
    flag = metadata["flag"] or f"--{declared.name.replace('_', '-')}"
    can_be_denied = is_flag and declared.default is not False
    return SettingOption(
        [declared.name, f"{flag}/--no-{flag[2:]}" if can_be_denied else flag],
        type=VALUE_PARSERS.get(get_args(hint)[0] if kind is Sequence else kind, str),
        is_flag=is_flag,
        multiple=kind is Sequence,
        default=None if declared.default is MISSING else declared.default,
        metavar=None if is_flag else get_metavar(declared, kind),
        help=format_help(declared),
        envvar=get_variable(declared.name),
        callback=make_check(declared),
    )


def get_variable(name: str) -> str:
    """Return the name of a setting's environment variable."""
    return f"{PREFIX}{name.upper()}"


def format_help(declared: Field[object]) -> str:
    """Return an option's help: its purpose, and its default if there is one."""
    shown = declared.metadata["shown_default"] or ("on" if declared.default is True else declared.default)
    text: str = declared.metadata["help"]
    if shown is False or shown is MISSING or shown is None or shown in ("", ()):
        return text
    return f"{text} [default:{NO_BREAK_SPACE}{shown}]"


def get_metavar(declared: Field[object], kind: object) -> str:
    """Return the help's name for the value of an option."""
    if metavar := declared.metadata["metavar"]:
        return str(metavar)
    if allowed := allowed_texts(declared):
        return f"[{'|'.join(allowed)}]"
    names: dict[object, str] = {int: "N", float: "SECONDS", bool: "[true|false]"}
    return names[kind]


def write_record(formatter: click.HelpFormatter, names: str, text: str) -> None:
    """Write an option's part of the help. Unlike Click's `write_dl` it never breaks a line within an option's name."""
    margin = " " * NAMES_WIDTH
    lines = wrap(text, formatter.width, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)
    beginning = " " * formatter.current_indent + names
    if len(beginning) < NAMES_WIDTH - 1:
        lines[0] = beginning + lines[0][len(beginning) :]
    else:
        lines.insert(0, beginning)
    formatter.write("".join(f"{line}\n" for line in lines).replace(NO_BREAK_SPACE, " "))


def make_check(declared: Field[object]) -> Callable[[click.Context, click.Parameter, object], object]:
    """Return a callback for Click that checks an option's value as `Config` does, unless it is the default."""

    def check(ctx: click.Context, parameter: click.Parameter, value: object) -> object:
        if is_given(ctx, declared.name):
            problem = find_problem(declared, value)
            if problem is not None:
                raise click.BadParameter(problem, ctx, parameter)
        return value

    return check


def is_given(ctx: click.Context, name: str) -> bool:
    """Return whether somebody set this option, wherever that was."""
    return ctx.get_parameter_source(name) is not ParameterSource.DEFAULT


def parse_number(text: str, kind: type[int] | type[float]) -> int | float | str:
    """Return the number in a text, or the text, for the check to refuse."""
    try:
        return kind(text)
    except ValueError:
        return text


def parse_header(text: str) -> tuple[str, str]:
    """Return a header's name and value, without the white space around the value (RFC 9110, section 5.5)."""
    name, colon, value = text.partition(":")
    if not colon:
        raise click.BadParameter(f"{text!r} has no colon; a header is Name:Value")
    return name, value.strip(" \t")


VALUE_PARSERS: dict[object, FlagValue | Callable[[str], object]] = {
    bool: FlagValue(),
    int: lambda text: parse_number(text, int),
    float: lambda text: parse_number(text, float),
    tuple[str, str]: parse_header,
}
