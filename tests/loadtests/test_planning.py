"""Which servers are measured with what is installed."""

import pytest

from loadtests.errors import LoadTestError
from loadtests.figures.all import FIGURES
from loadtests.figures.planning import needs, outcomes_of
from loadtests.servers.commands import Build
from loadtests.servers.interpreters import Interpreter

NAMED = {figure.name: figure for figure in FIGURES}
BUILDS: tuple[Build, ...] = ("ordinary", "free-threaded")


def interpreters(without: str = "") -> dict[Build, Interpreter]:
    """Both, with everything but one package; threadserve and its peers are packages as well."""
    return {
        build: Interpreter(
            path=f"{build}-python",
            version="3.13.0",
            free_threaded=build != "ordinary",
            gil_enabled=build == "ordinary",
            packages={name: "1.0" for name in needs(FIGURES, build) if name != without},
        )
        for build in BUILDS
    }


def test_everything_is_measured_where_everything_is_installed() -> None:
    outcomes = outcomes_of(FIGURES, interpreters())
    assert [outcome.figure for outcome in outcomes] == list(FIGURES)
    assert not any(outcome.left_out for outcome in outcomes)


@pytest.mark.parametrize(("package", "figure"), [("waitress", "wsgi-waitress"), ("granian", "wsgi-threads")])
def test_a_peer_that_is_not_installed_is_named_and_left_out(package: str, figure: str) -> None:
    (outcome,) = outcomes_of([NAMED[figure]], interpreters(without=package))
    assert outcome.figure.servers == (NAMED[figure].ours,)
    assert len(outcome.left_out) == len(NAMED[figure].servers) - 1
    assert all(f"free-threaded-python lacks {package}" in line for line in outcome.left_out)
    assert outcome.left_out[0].startswith(NAMED[figure].servers[1].label)


def test_servers_beside_the_missing_one_stay() -> None:
    figure = NAMED["ws-large-websockets"]
    (outcome,) = outcomes_of([NAMED["ws-large"]], interpreters(without="websockets"))
    assert outcome.figure == NAMED["ws-large"]
    (outcome,) = outcomes_of([NAMED["ws-echo-sansio"]], interpreters(without="websockets"))
    assert outcome.figure.peers == ()
    with pytest.raises(LoadTestError, match="ordinary-python lacks websockets"):
        outcomes_of([figure], interpreters(without="websockets"))


def test_threadserve_and_the_app_cannot_be_left_out() -> None:
    with pytest.raises(LoadTestError, match="free-threaded-python lacks flask"):
        outcomes_of([NAMED["wsgi-flask"]], interpreters(without="flask"))
