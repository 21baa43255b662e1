"""What `compare` is told on its command line, who takes part in which scenario, and what is shown meanwhile."""

import io
import itertools
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from loadtests.comparing.command import compare, scenarios_of
from loadtests.comparing.contestants import PEER_NAMES, Lineup
from loadtests.comparing.scenarios import NAMES, SCENARIOS, Scenario, own
from loadtests.errors import LoadTestError
from loadtests.generators import locust
from loadtests.harness.loads import ONE_PATH, generator_for
from loadtests.harness.measurement import Entry, plan
from loadtests.progress import progress
from loadtests.servers.interpreters import Interpreter

NAMED = {scenario.name: scenario for scenario in SCENARIOS}
EVERYTHING = {
    *("threadserve", "click", "h11", "h2", "httptools", "uvloop", "wsproto", "websockets", "twisted"),
    *("starlette", "flask", "django"),
    *PEER_NAMES,
}
ORDINARY = '{"version": "3.13.0 x", "free_threaded": false, "gil_enabled": true, "packages": {}}'
WITH_GIL = '{"version": "3.14.0 x", "free_threaded": true, "gil_enabled": true, "packages": {}}'


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(compare, arguments)


def pythons(folder: Path, script: str) -> tuple[str, tuple[str, ...]]:
    """The path of an interpreter that runs this script instead, and the options by which it is given."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path), ("--server-python", str(path), "--peer-python", str(path))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--app", "main"], "--app main: has to be MODULE:ATTRIBUTE"),
        (["--app", ":app"], "--app :app: has to be MODULE:ATTRIBUTE"),
        (["--app", "main:app", "--path", "x"], "--path x: has to begin with /"),
        (["hello", "--app", "main:app"], "--app takes the place of scenarios: hello cannot be given as well"),
        (["--path", "/x"], "--path is for --app only"),
        (["--interface", "wsgi"], "--interface is for --app only"),
        (["json", "--load", "wrk"], "wrk asks one path again and again, which json is not about"),
        (["hello", "chat", "--load", "h2load"], "h2load asks one path again and again, which chat is not about"),
        (["--baseline", "nowhere.json"], "nowhere.json cannot be read: No such file or directory"),
        (["--baseline", __file__], f"{__file__} is no results of `compare`: it is not JSON"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], complaint: str) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.output) == (2, f"Error: {complaint}\n")


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo no >&2; exit 3", "does not tell what it has: ['no']"),
        (f"echo '{WITH_GIL}'", "is free-threaded, but something installed there turns the GIL on"),
        (f"echo '{ORDINARY}'", "nothing can be measured: hello: threadserve on 3.13 is left out: "),
    ],
)
def test_an_interpreter_that_cannot_serve_is_named(script: str, complaint: str, tmp_path: Path) -> None:
    path, options = pythons(tmp_path, script)
    result = invoke("hello", *options, "--output", str(tmp_path))
    assert result.exit_code == 2
    (line,) = result.output.splitlines()
    assert line.startswith("Error: ")
    assert path in line
    assert complaint in line


def test_peers_for_a_free_threaded_interpreter_need_one(tmp_path: Path) -> None:
    path, options = pythons(tmp_path, f"echo '{ORDINARY}'")
    result = invoke("hello", *options, "--free-threaded-peer", "granian")
    assert result.output == f"Error: --free-threaded-peer is for a free-threaded --server-python, which {path} is not\n"


def test_without_locust_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LoadTestError, match=r"Locust is not installed for \S+: pip install locust, on an ordinary"):
        locust.version()


def test_all_scenarios_are_measured_that_the_generator_can_drive() -> None:
    def named(*names: str, load: str) -> list[str]:
        return [scenario.name for scenario in scenarios_of(names, None, None, None, load)]

    assert named(load="auto") == NAMES
    assert named(load="wrk") == ["hello", "hello-wsgi"]
    assert named("chat", "json", load="auto") == ["json", "chat"]


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


def interpreter(version: str, without: str = "", *, free_threaded: bool = False) -> Interpreter:
    """One with everything but one package."""
    packages = {name: "1.0" for name in EVERYTHING if name != without}
    return Interpreter(f"/bin/python{version}", f"{version}.1 (main)", free_threaded, not free_threaded, packages)


def lineup(without: str = "", peers: Sequence[str] = PEER_NAMES, extra: Sequence[str] = ()) -> Lineup:
    """threadserve on a free-threaded interpreter, peers on an ordinary one that lacks a package."""
    return Lineup(interpreter("3.14", free_threaded=True), interpreter("3.13", without), peers, extra)


def planned(who: Lineup, *names: str, threads: Sequence[int] = (1,)) -> tuple[list[Entry], list[str]]:
    return plan(who.entries([NAMED[name] for name in names or NAMES], threads))


def names(who: Lineup, *scenarios: str) -> list[str]:
    return [entry.name for entry in planned(who, *scenarios)[0]]


def test_every_server_takes_part_that_can() -> None:
    asgi = ["Uvicorn", "Granian", "h2corn", "Hypercorn", "Daphne (1 process)", "Gunicorn ASGI"]
    wsgi = ["Granian", "Gunicorn gthread", "Waitress (1 process)", "Cheroot (1 process)"]
    assert names(lineup(), "hello") == ["threadserve on 3.14t", *(f"{peer} on 3.13" for peer in asgi)]
    assert names(lineup(), "flask") == ["threadserve on 3.14t", *(f"{peer} on 3.13" for peer in wsgi)]


def test_what_lacks_its_own_package_or_that_of_the_application_is_named_and_left_out() -> None:
    entries, left_out = planned(lineup("granian"), "hello", "flask", threads=(1, 2))
    assert "Granian on 3.13" not in {entry.name for entry in entries}
    assert left_out == [
        "hello: Granian on 3.13 is left out: /bin/python3.13 lacks granian: see loadtests/README.md",
        "flask: Granian on 3.13 is left out: /bin/python3.13 lacks granian: see loadtests/README.md",
    ]
    assert names(lineup("flask", ["waitress"]), "flask") == ["threadserve on 3.14t"]


def test_some_peers_run_on_free_threaded_python_as_well() -> None:
    extra = lineup(peers=["uvicorn", "granian"], extra=["granian"])
    assert names(extra, "hello")[1:] == ["Uvicorn on 3.13", "Granian on 3.13", "Granian on 3.14t"]
    assert names(lineup(peers=["uvicorn"], extra=["granian"]), "hello")[1:] == ["Uvicorn on 3.13", "Granian on 3.14t"]


def test_no_server_runs_twice_on_the_same_version() -> None:
    both = interpreter("3.14", free_threaded=True)
    found = names(Lineup(both, both, PEER_NAMES, PEER_NAMES), "hello")
    assert len(set(found)) == len(found)
    ordinary = interpreter("3.13")
    found = names(Lineup(ordinary, ordinary, ["uvicorn"], ["granian"]), "hello")
    assert found == ["threadserve on 3.13", "Uvicorn on 3.13"]


def test_interpreters_of_the_same_version_are_told_apart() -> None:
    ordinary, other = interpreter("3.13"), replace(interpreter("3.13"), path="/other/python")
    assert list(Lineup(ordinary, ordinary, [], []).interpreters) == ["3.13"]
    told = Lineup(other, ordinary, [], []).interpreters
    assert {name: python["path"] for name, python in told.items()} == {
        "3.13 of threadserve": "/other/python",
        "3.13": "/bin/python3.13",
    }


def test_threads_are_workers_of_the_peers() -> None:
    entries, _ = planned(lineup(peers=["uvicorn"]), "json", threads=[2, 1, 2])
    assert [(entry.name, entry.threads) for entry in entries] == [
        ("threadserve on 3.14t", 1),
        ("threadserve on 3.14t", 2),
        ("Uvicorn on 3.13", 1),
        ("Uvicorn on 3.13", 2),
    ]
    commands = [" ".join(entry.server.command("python", entry.measurement.app, 80)) for entry in entries]
    assert "--threads 2" in commands[1]
    assert "--workers 2" in commands[3]
    assert all(command.endswith("loadtests.apps.site:app") for command in commands)


def test_all_serve_alike() -> None:
    """With the same event loop, without an access log, and without WebSockets where nobody asks for them."""
    entries, _ = planned(lineup(extra=["granian"]))
    assert {entry.server.module for entry in entries} == {"threadserve", *PEER_NAMES}
    for entry in entries:
        options, module = " ".join(entry.server.options), entry.server.module
        assert entry.server.build == ("free-threaded" if entry.name.endswith("3.14t") else "ordinary")
        assert "--access-log" not in options
        if module in ("threadserve", "uvicorn", "granian", "h2corn"):
            assert "--no-access-log" in options
        if module in ("threadserve", "uvicorn", "granian"):
            assert ("--ws none" in options or "--no-ws" in options) != (entry.measurement.name == "chat")
        if module in ("threadserve", "uvicorn", "h2corn", "hypercorn"):
            assert "uvloop" in options


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_locust_drives_everything_and_the_others_ceilings_only(scenario: Scenario) -> None:
    assert generator_for(scenario.user, scenario.name, "locust") == "locust"
    if scenario.name.startswith("hello"):
        assert generator_for(scenario.user, scenario.name, "h2load") == "h2load"
    else:
        assert generator_for(scenario.user, scenario.name, None) == "locust"
        with pytest.raises(LoadTestError, match=f"wrk asks one path again and again, which {scenario.name} is not"):
            generator_for(scenario.user, scenario.name, "wrk")


@pytest.mark.parametrize(
    ("installed", "expected"), [(["wrk", "h2load"], "wrk"), (["h2load"], "h2load"), ([], "locust")]
)
def test_the_fastest_generator_that_is_installed_drives_a_ceiling(
    installed: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name in installed else None)
    assert generator_for(ONE_PATH, "hello", None) == expected


def test_an_app_of_ones_own_is_asked_one_path() -> None:
    scenario = own("my.app:app", "/items", "wsgi")
    assert (scenario.app, scenario.request.path, scenario.interface) == ("my.app:app", "/items", "wsgi")
    assert scenario.user == ONE_PATH
    assert scenario.requires == ()
