"""The figures that have a target: what they are, what can be measured of them, and what came out."""

import sys
from pathlib import Path

import pytest

from loadtests.apps import project
from loadtests.errors import LoadTestError
from loadtests.figures.command import chosen
from loadtests.figures.figure import Figure
from loadtests.figures.table import FIGURES, GROUPS
from loadtests.generators import wrk
from loadtests.harness import alone
from loadtests.harness.measurement import Entry, Measured, plan
from loadtests.micro import callgrind
from loadtests.servers.commands import Build, peer, threadserve
from loadtests.servers.interpreters import Interpreter, environment

NAMED = {one.name: one for one in FIGURES}
WITHOUT_ACCESS_LOG = ("gunicorn", "hypercorn", "waitress", peer("fixed bytes").module)


def interpreter(build: Build, without: str = "", form: str = "compiled") -> Interpreter:
    """One with everything that figures need, but one package."""
    needed = {name for one in FIGURES for server in one.servers for name in (*server.requires, *one.requires)}
    packages = {name: "1.0" for name in needed if name != without}
    return Interpreter(f"{build}-python", "3.13.0", build != "ordinary", build == "ordinary", packages, form)


def entries(wanted: Figure, without: str = "", form: str = "compiled") -> list[Entry]:
    return [Entry(wanted, server.label, server, interpreter(server.build, without, form)) for server in wanted.servers]


@pytest.mark.parametrize(("package", "name"), [("waitress", "wsgi-waitress"), ("granian", "wsgi-threads")])
def test_a_peer_that_is_not_installed_is_named_and_left_out(package: str, name: str) -> None:
    kept, left_out = plan(entries(NAMED[name], without=package))
    assert [entry.server for entry in kept] == [NAMED[name].servers[0]]
    assert len(left_out) == len(NAMED[name].servers) - 1
    assert all(f"is left out: free-threaded-python lacks {package}" in line for line in left_out)


def test_one_form_alone_is_not_compared_with_itself() -> None:
    kept, left_out = plan(entries(NAMED["instructions"], form="interpreted"))
    assert len(kept) == 1
    assert [line.endswith("has no other form of threadserve to compare it with") for line in left_out] == [True]


def counted(form: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], Measured]:
    """Count the instructions of what should be the other form of threadserve, and is this one."""
    monkeypatch.setattr(callgrind, "count", lambda *_: (300.0, form, ["valgrind"]))
    return alone.instructions(entries(NAMED["instructions"])[1], {})


def test_the_other_form_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    command, measured = counted("interpreted", monkeypatch)
    assert command == ["THREADSERVE_PURE=1", "valgrind"]
    assert measured.values == {alone.INSTRUCTIONS: 300.0}
    with pytest.raises(LoadTestError, match="threadserve was compiled, although THREADSERVE_PURE was set"):
        counted("compiled", monkeypatch)


def test_a_start_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi", reason="FastAPI is not installed")
    monkeypatch.setattr(project, "MODULES", 5)
    server = threadserve("ordinary", alone.START_THREADS)
    entry = Entry(NAMED["starting"], server.label, server, Interpreter(sys.executable, "3.13.0", False, True, {}))
    command, measured = alone.starting(entry, environment())
    assert command[-1] == "shop.main:app"
    assert min(measured.values[name] for name in (alone.START, "s to start", "s of an import")) > 0
    assert measured.values["s to start"] > measured.values["s of an import"]


def test_figures_are_chosen_by_their_names_and_those_of_groups() -> None:
    assert chosen(()) == FIGURES
    assert [one.name for one in chosen(("wsgi-cpu", "websockets", "hello"))] == [
        *("hello", "wsgi-cpu", "ws-echo", "ws-echo-sansio", "ws-large", "ws-large-websockets", "ws-idle")
    ]
    assert len({*NAMED, *GROUPS}) == len(FIGURES) + len(GROUPS)


def test_servers_of_a_figure_serve_alike() -> None:
    """Gunicorn, Hypercorn and Waitress write no access log unless they are asked."""
    for one in FIGURES:
        labels = [server.label for server in one.servers]
        assert len(set(labels)) == len(labels)
        logging = "--access-log" if one.access_log else "--no-access-log"
        asked = [server for server in one.servers if server.module not in WITHOUT_ACCESS_LOG]
        assert all(logging in server.options for server in asked)
        assert not one.access_log or len(asked) == len(one.servers)


def test_figures_are_documented() -> None:
    readme = (Path(__file__).parents[2] / "loadtests/README.md").read_text()
    for name in (*NAMED, *GROUPS):
        assert f"`{name}`" in readme


def test_bodies_can_be_written_in_lua() -> None:
    """Within printable ASCII a JSON string literal is a Lua string literal."""
    bodies = {one.request.body for one in FIGURES}
    assert len(bodies) > 2
    for body in bodies:
        assert body.isascii()
        assert not body or body.isprintable()
    assert 'wrk.method = "POST"' in wrk.script_for(NAMED["fastapi"].request)
