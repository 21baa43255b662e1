"""Instructions are counted under callgrind, in whose place stand two scripts here."""

import os
import sys
from pathlib import Path

import pytest

from loadtests.errors import LoadTestError
from loadtests.micro import callgrind
from loadtests.servers.commands import threadserve
from loadtests.servers.interpreters import environment
from threadserve.runtime import forms

# Leaves out its own options.
VALGRIND = 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"'
# The run of few operations took 300 instructions, and that of many 10300, on two threads.
CONTROL = """echo "$*" >> told
case "$(grep -c -- -e told) $1" in
"1 -e") echo " Th 1  300" ;;
"2 -e") echo " Th 1  10,292"; echo "   Th 2  8" ;;
esac"""


def script(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def settings(folder: Path, control: str = CONTROL, **more: str) -> dict[str, str]:
    """An environment with both scripts; the process works elsewhere than they do."""
    script(folder, "valgrind", VALGRIND)
    script(folder, "callgrind_control", f"cd {folder}\n{control}")
    return environment() | {"PATH": f"{folder}:{os.environ['PATH']}"} | more


def test_what_counting_adds_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    counted, form, _ = callgrind.count(sys.executable, "get", settings(tmp_path))
    assert (counted, form) == (10, forms.get_form())
    options = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
    assert [line[0] for line in options] == ["--instr=on", "--zero", "-e", "--zero", "-e"]
    assert len({line[1] for line in options}) == 1


def test_the_python_form_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    variables = threadserve("free-threaded", 1, interpreted=True).variables
    assert callgrind.count(sys.executable, "get", settings(tmp_path, **variables))[1] == "interpreted"


def test_a_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(LoadTestError, match=r"valgrind failed: .*callgrind counted nothing"):
        callgrind.count(sys.executable, "get", settings(tmp_path, "true"))


def test_without_valgrind_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LoadTestError, match="valgrind is not installed"):
        callgrind.count(sys.executable, "get", environment())
