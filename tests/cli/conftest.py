"""Fixtures for the tests of the command line: no variables, and servers that only note how they were started."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result
from support.command_line import APP, Calls, invoke

from threadserve.cli import command


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("THREADSERVE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What `run` was called with, each time."""
    calls: Calls = []
    monkeypatch.setattr(command, "run", lambda app, **given: calls.append((app, given)))
    return calls


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], Result]:
    """Invokes the command with a server that raises an error."""

    def invoke_with(error: BaseException) -> Result:
        def run(app: str, **given: Any) -> None:
            raise error

        monkeypatch.setattr(command, "run", run)
        return invoke(APP)

    return invoke_with
