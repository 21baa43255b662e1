"""What `compare` is told on its command line, and what it shows while it works."""

import io
import itertools
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from loadtests.comparing.command import Given, compare, scenarios_of
from loadtests.comparing.scenarios import NAMES
from loadtests.errors import LoadTestError
from loadtests.generators import locust
from loadtests.progress import progress


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(compare, arguments)


def given(*arguments: str) -> Given:
    """The options as the command reads them."""
    return Given(**compare.make_context("compare", list(arguments)).params)


def interpreter(folder: Path, script: str) -> Path:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--app", "main"], "--app main: has to be MODULE:ATTRIBUTE"),
        (["--app", "main:app", "--path", "x"], "--path x: has to begin with /"),
        (["hello", "--app", "main:app"], "--app takes the place of scenarios: hello cannot be given as well"),
        (["--path", "/x"], "--path is for --app only"),
        (["--interface", "wsgi"], "--interface is for --app only"),
        (["json", "--load", "wrk"], "wrk asks one path again and again, which json is not about"),
        (["hello", "chat", "--load", "h2load"], "h2load asks one path again and again, which chat is not about"),
        (["--baseline", "nowhere.json"], "nowhere.json cannot be read: No such file or directory"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], complaint: str) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.output) == (2, f"Error: {complaint}\n")


def test_a_baseline_that_is_none_is_refused_before_anything_is_measured() -> None:
    result = invoke("--baseline", __file__)
    assert (result.exit_code, result.output) == (2, f"Error: {__file__} is no results of `compare`: it is not JSON\n")


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo no >&2; exit 3", "does not tell what it has: ['no']"),
        (
            'echo \'{"version": "3.14.0 x", "free_threaded": true, "gil_enabled": true, "packages": {}}\'',
            "is free-threaded, but something installed there turns the GIL on",
        ),
        (
            'echo \'{"version": "3.13.0 x", "free_threaded": false, "gil_enabled": true, "packages": {}}\'',
            "nothing can be measured: hello: threadserve on 3.13 is left out: ",
        ),
    ],
)
def test_an_interpreter_that_cannot_serve_is_named(script: str, complaint: str, tmp_path: Path) -> None:
    path = str(interpreter(tmp_path, script))
    result = invoke("hello", "--server-python", path, "--peer-python", path)
    assert result.exit_code == 2
    (line,) = result.output.splitlines()
    assert line.startswith("Error: ")
    assert path in line
    assert complaint in line


def test_peers_for_a_free_threaded_interpreter_need_one(tmp_path: Path) -> None:
    answer = 'echo \'{"version": "3.13.0 x", "free_threaded": false, "gil_enabled": true, "packages": {}}\''
    path = str(interpreter(tmp_path, answer))
    result = invoke("hello", "--server-python", path, "--peer-python", path, "--free-threaded-peer", "granian")
    assert result.output == f"Error: --free-threaded-peer is for a free-threaded --server-python, which {path} is not\n"


def test_without_locust_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LoadTestError, match=r"Locust is not installed for \S+: pip install locust, on an ordinary"):
        locust.version()


def test_all_scenarios_are_measured_that_the_generator_can_drive() -> None:
    assert [scenario.name for scenario in scenarios_of(given())] == NAMES
    assert [scenario.name for scenario in scenarios_of(given("--load", "wrk"))] == ["hello", "hello-wsgi"]
    assert [scenario.name for scenario in scenarios_of(given("chat", "json"))] == ["json", "chat"]


def test_without_a_terminal_there_is_a_line_for_each_sample(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(3) as report:
        report("one", 1)
        report("two and three", 2)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "1/3 one\n3/3 two and three\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_shows_how_far_it_is_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    clock = itertools.count(0, 10)
    monkeypatch.setattr("time.time", lambda: next(clock))
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress(4) as report:
        report("one", 1)
    assert "0/4" in terminal.getvalue()
    assert "one\n" in terminal.getvalue()
    assert re.search(r"1/4  00:0\d:\d\d", terminal.getvalue())
