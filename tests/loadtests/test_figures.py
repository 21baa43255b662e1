"""The figures that have a target: what they are, what can be measured of them, and what came out."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.errors import LoadTestError
from loadtests.figures.command import FIGURES, chosen
from loadtests.figures.figure import Figure, Goal, least, most
from loadtests.figures.titles import GROUPS, TITLES
from loadtests.generators import wrk
from loadtests.harness.measurement import Effort, Entry, plan
from loadtests.harness.rounds import INSTRUCTIONS, Course
from loadtests.micro import callgrind
from loadtests.reports.sections import markdown
from loadtests.reports.targets import all_reached, rows
from loadtests.results.record import CPU, RATE, Results, Sample
from loadtests.servers.commands import Build, Server, granian, h2corn, peer, uvicorn
from loadtests.servers.interpreters import Interpreter

NAMED = {one.name: one for one in FIGURES}
WITHOUT_ACCESS_LOG = ("gunicorn", "hypercorn", "waitress", peer("fixed bytes").module)


def about(*goals: Goal) -> Figure:
    """The figure `hello` with these goals."""
    return replace(NAMED["hello"], goals=goals)


def samples(server: Server, values: dict[str, list[float]], problems: list[str] | None = None) -> list[Sample]:
    """The server's rounds of the figure `hello`."""
    numbers = range(len(next(iter(values.values()))))
    return [
        Sample(
            "hello",
            server.label,
            0,
            n + 1,
            [],
            {name: all_[n] for name, all_ in values.items()},
            problems=problems or [],
        )
        for n in numbers
    ]


def outcome(wanted: Figure, **servers: float | list[float]) -> Results:
    """What was measured: `ours`, and `theirs` of every peer, of every value that is wanted."""
    told = {name: value if isinstance(value, list) else [value] for name, value in servers.items()}
    found = Results({}, {"hello": "hello world"}, targets={"hello": wanted.targets})
    for server in wanted.servers:
        values = told["ours" if server == wanted.ours else "theirs"]
        found.samples += samples(server, dict.fromkeys((*wanted.shown, RATE), values))
    return found


def test_the_ratio_is_of_medians() -> None:
    theirs: list[float] = [50_000, 60_000, 40_000]
    (row,) = rows(outcome(about(least(1.6, uvicorn())), ours=[90_000, 1, 100_000], theirs=theirs))
    assert (row.ours.median, row.ours.least, row.ours.greatest) == (90_000, 1, 100_000)
    assert (row.ratio, row.target, row.reached) == (1.8, "at least 1.6", True)


@pytest.mark.parametrize(
    ("goal", "ours", "is_reached"),
    [
        (least(1.6, uvicorn()), 80_000, True),
        (least(1.6, uvicorn()), 79_999, False),
        (most(2.0, RATE, uvicorn()), 100_000, True),
        (most(2.0, RATE, uvicorn()), 100_001, False),
        (most(20, RATE), 20, True),
        (most(20, RATE), 20.1, False),
        (most(None, RATE), 10**9, True),
    ],
)
def test_a_target_is_a_bound_of_the_ratio_or_of_the_value_alone(goal: Goal, ours: float, is_reached: bool) -> None:
    assert all_reached(outcome(about(goal), ours=ours, theirs=50_000)) is is_reached


def test_every_peer_has_to_be_reached_by_a_ratio_of_its_own() -> None:
    both = about(least(1.3, uvicorn()), least(2, h2corn(build="ordinary")))
    assert all_reached(outcome(both, ours=200, theirs=100))
    missed = outcome(both, ours=199, theirs=100)
    assert [(row.target, row.reached) for row in rows(missed)] == [("at least 1.3", True), ("at least 2", False)]
    assert not all_reached(missed)


def test_the_best_way_of_a_peer_counts_and_the_others_are_shown() -> None:
    one, two = granian(1), granian(2)
    wanted = about(least(1.3, one, two), most(2.5, CPU, one, two))
    results = Results({}, {"hello": "hello"}, targets={"hello": wanted.targets})
    results.samples = [
        *samples(wanted.ours, {RATE: [130], CPU: [20]}),
        *samples(one, {RATE: [90, 90, 300], CPU: [8, 8, 8]}),
        *samples(two, {RATE: [101, 101, 10], CPU: [7.9, 7.9, 7.9]}),
    ]
    told = [(row.value, row.peer, row.target, row.reached) for row in rows(results)]
    assert told == [
        (RATE, one.label, "", None),
        (RATE, two.label, "at least 1.3", False),
        (CPU, one.label, "", None),
        (CPU, two.label, "at most 2.5", False),
    ]
    results.samples = [sample for sample in results.samples if sample.server != two.label]
    assert next((row.peer, row.reached) for row in rows(results)) == (one.label, True)


def test_problems_errors_and_failures_count_against_a_figure() -> None:
    wanted = about(least(1.6, uvicorn()))
    good = outcome(wanted, ours=100, theirs=50)
    assert all_reached(good)
    assert not all_reached(replace(good, left_out=["Waitress is left out"]))
    assert not all_reached(replace(good, samples=[replace(good.samples[0], problems=["late"]), good.samples[1]]))
    assert not all_reached(replace(good, samples=[good.samples[0], replace(good.samples[1], errors={"read": 3})]))
    assert not all_reached(replace(good, samples=[]))


def test_the_table_shows_ratios_and_targets() -> None:
    text = markdown(outcome(about(least(1.6, uvicorn())), ours=[104_000, 100_000], theirs=[52_000, 50_000]))
    assert (
        "| 102,000 (100,000-104,000) | Uvicorn, 1 worker | 51,000 (50,000-52,000) | 2.00 | at least 1.6 | yes |" in text
    )


def interpreter(build: Build, without: str = "", form: str = "compiled") -> Interpreter:
    """One with everything that figures need, but one package."""
    needed = {name for one in FIGURES for server in one.servers for name in (*server.requires, *one.requires)}
    packages = {name: "1.0" for name in needed if name != without}
    return Interpreter(f"{build}-python", "3.13.0", build != "ordinary", build == "ordinary", packages, form)


def entries(wanted: Figure, without: str = "", form: str = "compiled") -> list[Entry]:
    return [
        Entry(wanted, server.label, server, interpreter(server.build, without, form), is_needed=server == wanted.ours)
        for server in wanted.servers
    ]


@pytest.mark.parametrize(("package", "name"), [("waitress", "wsgi-waitress"), ("granian", "wsgi-threads")])
def test_a_peer_that_is_not_installed_is_named_and_left_out(package: str, name: str) -> None:
    kept, left_out = plan(entries(NAMED[name], without=package))
    assert [entry.server for entry in kept] == [NAMED[name].ours]
    assert len(left_out) == len(NAMED[name].servers) - 1
    assert all(f"is left out: free-threaded-python lacks {package}" in line for line in left_out)


@pytest.mark.parametrize(("package", "name"), [("flask", "wsgi-flask"), ("websockets", "ws-large-websockets")])
def test_threadserve_and_the_app_cannot_be_left_out(package: str, name: str) -> None:
    with pytest.raises(LoadTestError, match=f"-python lacks {package}"):
        plan(entries(NAMED[name], without=package))


def test_one_form_alone_is_not_compared_with_itself() -> None:
    kept, left_out = plan(entries(NAMED["instructions"], form="interpreted"))
    assert len(kept) == 1
    assert [line.endswith("has no other form of threadserve to compare it with") for line in left_out] == [True]


def counted(monkeypatch: pytest.MonkeyPatch, forms: dict[bool, str]) -> Results:
    """Count the instructions of both forms, where those of the compiled form are found by whether it is asked for."""

    def count(python: str, benchmark: str, environment: dict[str, str]) -> callgrind.Counted:
        is_interpreted = "THREADSERVE_PURE" in environment
        return callgrind.Counted(300.0 if is_interpreted else 75.0, forms[is_interpreted], ["valgrind"])

    monkeypatch.setattr(callgrind, "count", count)
    wanted = NAMED["instructions"]
    results = Results({}, {wanted.name: wanted.title}, targets={wanted.name: wanted.targets})
    Course(Effort(5, 1, 1), results, lambda line, done: None, {}).run(entries(wanted))
    return results


def test_both_forms_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    results = counted(monkeypatch, {False: "compiled", True: "interpreted"})
    alone, compared = rows(results)
    assert (alone.value, alone.ours.median, alone.reached) == (INSTRUCTIONS, 75, None)
    assert (compared.peer, compared.ratio, compared.reached) == ("threadserve, 1 thread, interpreted", 0.25, None)
    assert all_reached(results)
    assert [sample.command for sample in results.samples] == [["valgrind"], ["THREADSERVE_PURE=1", "valgrind"]]


def test_the_other_form_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    results = counted(monkeypatch, {False: "compiled", True: "compiled"})
    assert results.left_out[0].endswith("threadserve was compiled, although THREADSERVE_PURE was set")


def test_figures_are_chosen_by_their_names_and_those_of_groups() -> None:
    assert chosen(()) == FIGURES
    assert [one.name for one in chosen(("wsgi-cpu", "websockets", "hello"))] == [
        *("hello", "wsgi-cpu", "ws-echo", "ws-echo-sansio", "ws-large", "ws-large-websockets", "ws-idle")
    ]
    assert [one.name for one in FIGURES] == list(TITLES)
    assert not set(TITLES) & set(GROUPS)


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
    for name in (*TITLES, *GROUPS):
        assert f"`{name}`" in readme


def test_bodies_can_be_written_in_lua() -> None:
    """Within printable ASCII a JSON string literal is a Lua string literal."""
    bodies = {one.request.body for one in FIGURES}
    assert len(bodies) > 2
    for body in bodies:
        assert body.isascii()
        assert not body or body.isprintable()
    assert 'wrk.method = "POST"' in wrk.script_for(NAMED["fastapi"].request)


def test_a_browser_sends_fifteen_fields() -> None:
    line = wrk.command(wrk.Load(1, 1, 1, 1), 1, NAMED["hello-browser"].request, 80, Path("script"))
    assert line.count("--header") == 14
