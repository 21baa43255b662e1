"""The measurement of starts: the project that it makes, and what it tells."""

import re
import sys
from pathlib import Path

import pytest

from loadtests.starting import project
from loadtests.starting.command import starting


def test_project_has_as_many_modules_as_asked_for(tmp_path: Path) -> None:
    project.write(tmp_path, 7)
    assert len(list(tmp_path.rglob("*.py"))) == 7


def test_tells_times_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--python", sys.executable, "--threads", "2", "--modules", "5", "--rounds", "1"]
    code = starting.main(options, standalone_mode=False)
    told = capsys.readouterr().out
    assert re.search(r"start with 2 threads +[\d.]+ \([\d.]+-[\d.]+\) s\n", told)
    assert re.search(r"against 1 thread and 1 imports: [\d.]+, at most 1.5 wanted\n", told)
    assert code in (0, 1)
    assert re.search(r"memory with 1 thread [\d.]+ MB, for each further one -?[\d.]+ MB\n", told)
