"""The command line of `compare`, and who takes part in which scenario."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from loadtests.comparing.command import compare, generators_of, scenarios_of
from loadtests.comparing.contestants import PEER_NAMES, lineup
from loadtests.comparing.scenarios import NAMES, SCENARIOS, own
from loadtests.errors import LoadTestError
from loadtests.generators import locust, wrk
from loadtests.harness.measurement import Entry, plan
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
        (["--baseline", "nowhere.json"], "nowhere.json cannot be read: No such file or directory"),
        (["--baseline", __file__], f"{__file__} is no record of the format loadtests-2"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], complaint: str) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.output) == (2, f"Error: {complaint}\n")


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo no >&2; exit 3", "failed: no"),
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


def test_without_locust_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(LoadTestError, match=r"Locust is not installed for \S+: see loadtests/README.md"):
        generators_of(list(SCENARIOS))


def test_scenarios_are_measured_in_the_order_of_the_table() -> None:
    assert [one.name for one in scenarios_of((), None, None, None)] == NAMES
    assert [one.name for one in scenarios_of(("chat", "json"), None, None, None)] == ["json", "chat"]


def interpreter(version: str, without: str = "", *, free_threaded: bool = False) -> Interpreter:
    """One with everything but one package."""
    packages = {name: "1.0" for name in EVERYTHING if name != without}
    return Interpreter(f"/bin/python{version}", f"{version}.1 (main)", free_threaded, not free_threaded, packages)


FREE_THREADED = interpreter("3.14", free_threaded=True)


def planned(
    *names: str,
    without: str = "",
    peers: Sequence[str] = PEER_NAMES,
    threads: Sequence[int] = (1,),
    ours: Interpreter = FREE_THREADED,
) -> tuple[list[Entry], list[str]]:
    """The plan of these scenarios, with peers on an ordinary interpreter that lacks a package."""
    scenarios = [NAMED[name] for name in names or NAMES]
    return plan(lineup(scenarios, threads, ours, interpreter("3.13", without), peers))


def names(*scenarios: str, peers: Sequence[str] = PEER_NAMES, ours: Interpreter = FREE_THREADED) -> list[str]:
    return [entry.name for entry in planned(*scenarios, peers=peers, ours=ours)[0]]


def test_every_server_takes_part_that_can_some_on_free_threaded_python_as_well() -> None:
    asgi = ["Uvicorn on 3.13", "Granian on 3.13", "Granian on 3.14t", "h2corn on 3.13", "h2corn on 3.14t"]
    asgi += ["Hypercorn on 3.13", "Daphne on 3.13", "Gunicorn ASGI on 3.13", "Gunicorn ASGI on 3.14t"]
    wsgi = ["Granian WSGI on 3.13", "Granian WSGI on 3.14t", "Gunicorn gthread on 3.13", "Gunicorn gthread on 3.14t"]
    wsgi += ["Waitress on 3.13", "Cheroot on 3.13"]
    assert names("hello") == ["threadserve on 3.14t", *asgi]
    assert names("flask") == ["threadserve on 3.14t", *wsgi]


def test_what_lacks_its_own_package_or_that_of_the_application_is_named_and_left_out() -> None:
    entries, left_out = planned("hello", "flask", without="granian", threads=(1, 2))
    assert "Granian on 3.13" not in {entry.name for entry in entries}
    assert left_out == [
        "hello: Granian on 3.13 is left out: /bin/python3.13 lacks granian: see loadtests/README.md",
        "flask: Granian WSGI on 3.13 is left out: /bin/python3.13 lacks granian: see loadtests/README.md",
    ]
    assert [entry.name for entry in planned("flask", without="flask", peers=["waitress"])[0]] == [
        "threadserve on 3.14t"
    ]


def test_no_server_runs_twice_on_the_same_version() -> None:
    found = names("hello", ours=interpreter("3.13"))
    assert found[0] == "threadserve on 3.13"
    assert len(set(found)) == len(found)


def test_threads_are_workers_of_the_peers() -> None:
    entries, _ = planned("json", peers=["uvicorn"], threads=[1, 2])
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
    entries, _ = planned()
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


def test_wrk_drives_a_ceiling_where_it_is_installed_and_locust_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrk, "version", lambda: "4")
    monkeypatch.setattr(locust, "version", lambda: "2")
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert generators_of([NAMED["hello"]]) == {"wrk": "4"}
    assert generators_of([NAMED["hello"], NAMED["json"]]) == {"wrk": "4", "locust": "2"}
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert generators_of([NAMED["hello"]]) == {"locust": "2"}


def test_an_app_of_ones_own_is_asked_one_path() -> None:
    scenario = own("my.app:app", "/items", "wsgi")
    assert (scenario.app, scenario.request.path, scenario.interface) == ("my.app:app", "/items", "wsgi")
    assert scenario.load is NAMED["hello"].load
    assert scenario.requires == ()
