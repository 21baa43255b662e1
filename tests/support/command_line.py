"""The command, invoked in the test's process or as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result
from support.waiting import DEADLINE

from threadserve import Config
from threadserve.cli import main

APP = "main:app"
Calls = list[tuple[str, dict[str, Any]]]


def invoke(*arguments: str, **variables: str) -> Result:
    environment = {f"THREADSERVE_{name}": value for name, value in variables.items()}
    return CliRunner().invoke(main, arguments, env=environment)


def resulting(given: dict[str, Any]) -> dict[str, object]:
    """All settings of a configuration for which these are given."""
    return vars(Config(APP, **given))


def run_module(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "threadserve", *arguments],
        env=os.environ | variables,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=3 * DEADLINE,
        check=False,
    )


def assert_one_line(result: Result, line: str, exit_code: int = 2) -> None:
    assert (result.exit_code, result.stderr, result.stdout) == (exit_code, f"Error: {line}\n", "")


def option_of(name: str) -> click.Option:
    [option] = [option for option in main.params if option.name == name]
    assert isinstance(option, click.Option)
    return option
