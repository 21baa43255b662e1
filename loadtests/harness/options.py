"""The options that the commands have in common, and what a run begins with."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from loadtests.harness.measurement import Effort


def number(name: str, least: float, most: float, default: float, what: str) -> Callable[[Any], Any]:
    """Return the option of a number within limits, a whole one where its default is."""
    kind = click.IntRange(int(least), int(most)) if isinstance(default, int) else click.FloatRange(least, most)
    return click.option(name, type=kind, default=default, show_default=True, help=what)


def effort_options(rounds: int, duration: int, warm_up: int) -> Callable[[Any], Any]:
    """Return the options of the effort that all commands have in common, with these defaults."""

    def decorate(command: Any) -> Any:
        command = number("--warm-up", 1, 60, warm_up, "Seconds before that.")(command)
        command = number("--duration", 1, 600, duration, "Seconds measured.")(command)
        return number("--rounds", 1, 50, rounds, "Of all servers in turn.")(command)

    return decorate


def effort_of(options: dict[str, Any]) -> Effort:
    """Return what the options say of it."""
    return Effort(**{part.name: options[part.name] for part in fields(Effort) if part.name in options})
