"""A folder with a project in it, and checks of it: by the command, or in the test's process with a time limit."""

import json
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
from support.command_line import invoke, run_module

Finding = dict[str, Any]

BARE_APP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
"""


class Project:
    """A folder of modules, which is the working directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, path: str, source: str = "", app: str = "") -> Path:
        """Writes a file, with an application at its end perhaps, and the folders around it."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source).lstrip("\n") + app)
        return file

    def run(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Runs the command as a process of its own."""
        return run_module(*arguments, cwd=self.folder, **variables)

    def check(self, *arguments: str, **variables: str) -> Any:
        """The report of `--check=json`, whose exit code is as it says.

        With variables, which Python itself may read, the command is a process of its own beside the inspected one.
        """
        arguments = ("--check=json", *arguments)
        if variables:
            done = self.run(*arguments, **variables)
            code, told, errors = done.returncode, done.stdout, done.stderr
        else:
            result = invoke(*arguments)
            code, told, errors = result.exit_code, result.stdout, result.stderr
        assert code in (0, 1), errors
        [line] = told.splitlines()
        report = json.loads(line)
        assert code == (0 if report["ok"] else 1)
        return report

    def found(self, code: str, *arguments: str, **variables: str) -> list[Finding]:
        """The findings of one kind."""
        return [each for each in self.check(*arguments, **variables)["findings"] if each["code"] == code]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Project(folder)


@pytest.fixture
def bare(project: Project) -> Project:
    """The same with an application of which there is nothing to say."""
    project.write("main.py", app=BARE_APP)
    return project
