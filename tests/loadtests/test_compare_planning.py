"""Who takes part in which scenario, with what is installed, and by which load generator."""

import shutil
from collections.abc import Sequence
from dataclasses import replace

import pytest

from loadtests.comparing.contestants import PEER_NAMES
from loadtests.comparing.driving import generator_for
from loadtests.comparing.planning import Case, Lineup, plan
from loadtests.comparing.scenarios import NAMES, SCENARIOS, Scenario, own
from loadtests.errors import LoadTestError
from loadtests.servers.interpreters import Interpreter

NAMED = {scenario.name: scenario for scenario in SCENARIOS}
EVERYTHING = {
    *("threadserve", "click", "h11", "h2", "httptools", "uvloop", "wsproto", "websockets", "twisted"),
    *("starlette", "flask", "django"),
    *PEER_NAMES,
}


def interpreter(version: str, without: str = "", *, free_threaded: bool = False) -> Interpreter:
    """One with everything but one package."""
    packages = {name: "1.0" for name in EVERYTHING if name != without}
    return Interpreter(f"/bin/python{version}", f"{version}.1 (main)", free_threaded, not free_threaded, packages)


def lineup(without: str = "", peers: Sequence[str] = PEER_NAMES, extra: Sequence[str] = ()) -> Lineup:
    """threadserve on a free-threaded interpreter, peers on an ordinary one that lacks a package."""
    return Lineup(interpreter("3.14", free_threaded=True), interpreter("3.13", without), peers, extra)


def names(cases: Sequence[Case]) -> list[str]:
    return [case.name for case in cases]


def test_every_server_takes_part_that_can() -> None:
    asgi, left_out = plan([NAMED["hello"]], lineup(), [2])
    assert names(asgi) == [
        "threadserve on 3.14t",
        "Uvicorn on 3.13",
        "Granian on 3.13",
        "h2corn on 3.13",
        "Hypercorn on 3.13",
        "Daphne (1 process) on 3.13",
        "Gunicorn ASGI on 3.13",
    ]
    wsgi, also_left_out = plan([NAMED["flask"]], lineup(), [2])
    assert names(wsgi) == [
        "threadserve on 3.14t",
        "Granian on 3.13",
        "Gunicorn gthread on 3.13",
        "Waitress (1 process) on 3.13",
        "Cheroot (1 process) on 3.13",
    ]
    assert left_out == also_left_out == []


def test_a_missing_peer_is_named_and_left_out() -> None:
    cases, left_out = plan([NAMED["hello"], NAMED["flask"]], lineup("granian"), [1])
    assert "Granian on 3.13" not in names(cases)
    assert left_out == [
        "hello: Granian on 3.13 is left out: /bin/python3.13 lacks granian: see loadtests/README.md",
        "flask: Granian on 3.13 is left out: /bin/python3.13 lacks granian: see loadtests/README.md",
    ]


def test_the_application_has_to_be_installed_too() -> None:
    cases, left_out = plan([NAMED["flask"]], lineup("flask", ["waitress"]), [1])
    assert names(cases) == ["threadserve on 3.14t"]
    assert left_out == [
        "flask: Waitress (1 process) on 3.13 is left out: /bin/python3.13 lacks flask: see loadtests/README.md"
    ]


def test_some_peers_run_on_free_threaded_python_as_well() -> None:
    cases, _ = plan([NAMED["hello"]], lineup(peers=["uvicorn", "granian"], extra=["granian"]), [1])
    assert names(cases)[1:] == ["Uvicorn on 3.13", "Granian on 3.13", "Granian on 3.14t"]
    cases, _ = plan([NAMED["hello"]], lineup(peers=["uvicorn"], extra=["granian"]), [1])
    assert names(cases)[1:] == ["Uvicorn on 3.13", "Granian on 3.14t"]


def test_no_server_runs_twice_on_the_same_version() -> None:
    both = interpreter("3.14", free_threaded=True)
    cases, _ = plan([NAMED["hello"]], Lineup(both, both, PEER_NAMES, PEER_NAMES), [1])
    assert len(set(names(cases))) == len(cases)
    ordinary = interpreter("3.13")
    cases, _ = plan([NAMED["hello"]], Lineup(ordinary, ordinary, ["uvicorn"], ["granian"]), [1])
    assert names(cases) == ["threadserve on 3.13", "Uvicorn on 3.13"]


def test_interpreters_of_the_same_version_are_told_apart() -> None:
    ordinary, other = interpreter("3.13"), replace(interpreter("3.13"), path="/other/python")
    assert list(Lineup(ordinary, ordinary, [], []).interpreters) == ["3.13"]
    told = Lineup(other, ordinary, [], []).interpreters
    assert {name: python["path"] for name, python in told.items()} == {
        "3.13 of threadserve": "/other/python",
        "3.13": "/bin/python3.13",
    }


def test_threads_are_workers_of_the_peers() -> None:
    cases, _ = plan([NAMED["json"]], lineup(peers=["uvicorn"]), [2, 1, 2])
    assert [(case.name, case.threads) for case in cases] == [
        ("threadserve on 3.14t", 1),
        ("threadserve on 3.14t", 2),
        ("Uvicorn on 3.13", 1),
        ("Uvicorn on 3.13", 2),
    ]
    commands = [" ".join(case.server.command("python", case.scenario.app, 80)) for case in cases]
    assert "--threads 2" in commands[1]
    assert "--workers 2" in commands[3]
    assert all(command.endswith("loadtests.apps.site:app") for command in commands)


def test_nobody_serves_websockets_or_writes_an_access_log_unasked() -> None:
    for scenario in SCENARIOS:
        cases, _ = plan([scenario], lineup(), [1])
        for case in cases:
            options = " ".join(case.server.options)
            if case.server.module in ("threadserve", "uvicorn", "granian", "h2corn"):
                assert "--no-access-log" in options
            if case.server.module in ("threadserve", "uvicorn", "granian"):
                assert ("--ws none" in options or "--no-ws" in options) != scenario.websockets
            assert "--access-log" not in options


def test_event_loop_and_build_are_as_wanted() -> None:
    cases, _ = plan(SCENARIOS, lineup(extra=["granian"]), [1])
    assert {case.server.module for case in cases} == {"threadserve", *PEER_NAMES}
    for case in cases:
        assert case.server.build == ("free-threaded" if case.name.endswith("3.14t") else "ordinary")
        assert (
            case.server.module not in ("threadserve", "uvicorn", "h2corn", "hypercorn")
            or "uvloop" in case.server.options
        )


def test_names_of_scenarios_are_unique() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(scenario.path.startswith("/") for scenario in SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_locust_drives_everything_and_the_others_ceilings_only(scenario: Scenario) -> None:
    assert generator_for(scenario, "locust") == "locust"
    if scenario.name.startswith("hello"):
        assert generator_for(scenario, "h2load") == "h2load"
    else:
        assert generator_for(scenario, None) == "locust"
        with pytest.raises(LoadTestError, match=f"wrk asks one path again and again, which {scenario.name} is not"):
            generator_for(scenario, "wrk")


@pytest.mark.parametrize(
    ("installed", "expected"), [(["wrk", "h2load"], "wrk"), (["h2load"], "h2load"), ([], "locust")]
)
def test_the_fastest_generator_that_is_installed_drives_a_ceiling(
    installed: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name in installed else None)
    assert generator_for(NAMED["hello"], None) == expected


def test_an_app_of_ones_own_is_asked_one_path() -> None:
    scenario = own("my.app:app", "/items", "wsgi")
    assert (scenario.app, scenario.path, scenario.interface) == ("my.app:app", "/items", "wsgi")
    assert scenario.is_ceiling
    assert scenario.requires == ()


@pytest.mark.parametrize("app", ["", "app", ":app", "module:"])
def test_an_app_needs_a_module_and_an_attribute(app: str) -> None:
    with pytest.raises(LoadTestError, match="has to be MODULE:ATTRIBUTE"):
        own(app, "/", "asgi")


def test_a_path_begins_with_a_slash() -> None:
    with pytest.raises(LoadTestError, match="--path items: has to begin with /"):
        own("a:b", "items", "asgi")
