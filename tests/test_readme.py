"""What the README promises that can be checked word for word: its two commands and its tables of options."""

import re
from dataclasses import Field
from pathlib import Path
from typing import Any

import click
import pytest

from threadserve.cli import main
from threadserve.config import settings

README = (Path(__file__).parents[1] / "README.md").read_text()
ROWS = re.findall(r"^\| (`--[^|]+`) \| ([^|]+) \| .+ \|$", README, re.MULTILINE)
DEFAULTS = {flag: default for names, default in ROWS for flag in re.findall("`([^`]+)`", names)}


def options() -> dict[str, click.Option]:
    """The command's own options, by their flags."""
    found = [parameter for parameter in main.params if isinstance(parameter, click.Option)]
    return {
        flag: option
        for option in found
        for flag in (*option.opts, *option.secondary_opts)
        if flag not in ("--check", "--config", "--version")
    }


def test_the_commands_need_nothing_but_a_clone() -> None:
    commands = re.findall(r"^```sh\n(.+?)\n```$", README, re.MULTILINE | re.DOTALL)[:2]
    assert all(command.startswith("python3 -m venv .venv && .venv/bin/pip install") for command in commands)
    assert "threadserve examples.hello:app" in commands[0]
    assert commands[1].endswith("&& .venv/bin/python -m pytest")


def test_every_option_is_in_the_tables() -> None:
    assert set(DEFAULTS) == set(options())


def shown(default: object) -> str:
    """A plain default as the tables show it."""
    if isinstance(default, bool):
        return "on" if default else "off"
    return "none" if default in ("", (), None) else f"`{default}`"


@pytest.mark.parametrize(
    "declared",
    [declared for declared in settings() if not declared.metadata["shown_default"]],
    ids=lambda declared: str(declared.name),
)
def test_the_tables_have_the_defaults(declared: Field[Any]) -> None:
    flag = next(flag for flag, option in options().items() if option.name == declared.name)
    assert DEFAULTS[flag] == shown(declared.default)
