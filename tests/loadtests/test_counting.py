"""Instructions are counted under callgrind, in whose place stand two scripts here."""

import os
import sys
from pathlib import Path

import pytest

from loadtests.counting import callgrind, process
from loadtests.errors import LoadTestError
from loadtests.figures import rounds
from loadtests.figures.all import chosen
from loadtests.figures.figure import INSTRUCTIONS
from loadtests.figures.measuring import Effort
from loadtests.figures.planning import outcomes_of
from loadtests.figures.report import Outcome, all_reached, markdown, rows
from loadtests.generators import wrk
from loadtests.servers.commands import threadserve
from loadtests.servers.interpreters import Interpreter, environment
from threadserve.runtime import forms

TOLD = "PID 7: python\n\n  Totals:         Ir \n   Th 1  127,150,302 \n   Th 2            8 \n\n"
# Leaves out its own options.
VALGRIND = 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"'
# The run of few operations took 300 instructions, and that of many 10300.
CONTROL = """echo "$*" >> told
case "$(grep -c -- -e told) $1" in "1 -e") echo " Th 1  300" ;; "2 -e") echo " Th 1  10,300" ;; esac"""
(FIGURE,) = chosen(("instructions",))


def script(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def settings(folder: Path, control: str = CONTROL, **more: str) -> dict[str, str]:
    """An environment with both scripts; the process works elsewhere than they do."""
    script(folder, "valgrind", VALGRIND)
    script(folder, "callgrind_control", f"cd {folder}\n{control}")
    return environment() | {"PATH": f"{folder}:{os.environ['PATH']}"} | more


def interpreter(form: str) -> Interpreter:
    packages = dict.fromkeys(FIGURE.ours.requires, "1.0")
    return Interpreter(sys.executable, "3.13.0", True, False, packages, form)


def test_instructions_of_all_threads_are_summed() -> None:
    assert process.total(TOLD) == 127_150_310
    with pytest.raises(LoadTestError, match="callgrind counted nothing: it says nothing"):
        process.total("\n")


def test_what_counting_adds_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    counted = callgrind.count(sys.executable, "get", settings(tmp_path))
    assert counted.instructions == 10
    assert counted.form == forms.get_form()
    options = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
    assert [line[0] for line in options] == ["--instr=on", "--zero", "-e", "--zero", "-e"]
    assert len({line[1] for line in options}) == 1


def test_the_python_form_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    variables = threadserve("free-threaded", 1, interpreted=True).variables
    assert callgrind.count(sys.executable, "get", settings(tmp_path, **variables)).form == "interpreted"


@pytest.mark.parametrize(
    ("control", "complaint"),
    [
        (
            "echo nobody there >&2; exit 1",
            "get failed under callgrind: callgrind cannot be told what to do: nobody there",
        ),
        ("true", "get failed under callgrind: callgrind counted nothing"),
    ],
)
def test_a_failure_is_told(control: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(LoadTestError, match=complaint):
        callgrind.count(sys.executable, "get", settings(tmp_path, control))


def test_without_valgrind_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LoadTestError, match="valgrind is not installed"):
        callgrind.count(sys.executable, "get", environment())


def counted_by_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled form takes fewer."""

    def count(python: str, benchmark: str, environment: dict[str, str]) -> callgrind.Counted:
        is_interpreted = forms.PURE_VARIABLE in environment
        return callgrind.Counted(
            300.0 if is_interpreted else 75.0, "interpreted" if is_interpreted else "compiled", ["valgrind"]
        )

    monkeypatch.setattr(callgrind, "count", count)


def test_both_forms_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted_by_form(monkeypatch)
    (outcome,) = outcomes_of([FIGURE], {"free-threaded": interpreter("compiled")})
    effort = Effort(5, 1, 1, wrk.Load(1, 1), 10)
    rounds.measure(rounds.Bench(effort, {"free-threaded": interpreter("compiled")}, 1), outcome, lambda line: None)
    alone, compared = rows(outcome)
    assert len(outcome.samples) == 2
    assert (alone.value, alone.ours.median, alone.reached) == (INSTRUCTIONS, 75, None)
    assert (compared.peer, compared.ratio, compared.reached) == ("threadserve, 1 thread, interpreted", 0.25, None)
    assert all_reached([outcome])
    assert f"| {INSTRUCTIONS} | 75.0 (75.0-75.0) |" in markdown([outcome])
    assert [sample.command for sample in outcome.samples] == [["valgrind"], ["THREADSERVE_PURE=1", "valgrind"]]


def test_one_form_alone_is_not_compared_with_itself() -> None:
    (outcome,) = outcomes_of([FIGURE], {"free-threaded": interpreter("interpreted")})
    assert outcome.figure.servers == (FIGURE.ours,)
    assert [line.endswith("has no other form of threadserve to compare it with") for line in outcome.left_out] == [True]


def test_the_other_form_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callgrind, "count", lambda *given: callgrind.Counted(75.0, "compiled", []))
    outcome = Outcome(FIGURE)
    effort = Effort(1, 1, 1, wrk.Load(1, 1), 10)
    rounds.measure(rounds.Bench(effort, {"free-threaded": interpreter("compiled")}, 1), outcome, lambda line: None)
    assert outcome.left_out[0].endswith("threadserve was compiled, although THREADSERVE_PURE was set")


def test_threadserve_is_taken_as_it_is_installed() -> None:
    """Not from the clone, in which the servers work, and where it is never compiled."""
    assert threadserve("ordinary", 1).command("python", "app", 80)[:4] == ["python", "-P", "-m", "threadserve"]
