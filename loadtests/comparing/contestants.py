"""The servers that take part, each as its documentation recommends: with N threads or with N processes."""

from collections.abc import Iterator, Sequence

from loadtests.comparing.scenarios import Scenario
from loadtests.harness.measurement import Entry
from loadtests.servers.commands import Build, Interface, Server, peer, threadserve
from loadtests.servers.interpreters import Interpreter

OURS = "threadserve"
# Rows of the table of peers.
PEERS: dict[Interface, tuple[str, ...]] = {
    "asgi": ("uvicorn", "granian", "h2corn", "hypercorn", "daphne", "gunicorn"),
    "wsgi": ("granian wsgi", "gthread", "waitress", "cheroot"),
}
PEER_NAMES = list(dict.fromkeys(peer(row).module for rows in PEERS.values() for row in rows))
# They have more threads where others have more workers.
ONE_PROCESS = ("daphne", "waitress", "cheroot")
# Peers that claim to support free-threaded Python.
FREE_THREADED = ("granian", "h2corn", "gunicorn")
# Threads that call a WSGI application, in each process of a server that has them.
POOL = 8


def lineup(
    scenarios: Sequence[Scenario], threads: Sequence[int], ours: Interpreter, theirs: Interpreter, peers: Sequence[str]
) -> Iterator[Entry]:
    """All servers in all scenarios with each number of threads, in the order of a round.

    Some peers run on a free-threaded interpreter of ours as well.
    """
    is_another = ours.free_threaded and ours.short_version != theirs.short_version
    for scenario in scenarios:
        for row in (OURS, *PEERS[scenario.interface]):
            module = server_of(row, "ordinary", 1, scenario).module
            is_ready = is_another and module in FREE_THREADED and module in ours.packages
            pythons = [ours] if row == OURS else [theirs, ours] if is_ready else [theirs]
            for python in pythons if module in (OURS, *peers) else []:
                for count in threads:
                    server = server_of(row, python.build, count, scenario)
                    name = f"{server.label.partition(',')[0]} on {python.short_version}"
                    yield Entry(scenario, name, server, python, count)


def server_of(row: str, build: Build, threads: int, scenario: Scenario) -> Server:
    """Return a server with so many threads or workers, with WebSockets where the scenario needs them."""
    with_websockets = scenario.websockets
    if row == OURS:
        return threadserve(build, threads, interface=scenario.interface, ws="auto" if with_websockets else "none")
    workers, pool = (1, POOL * threads) if row in ONE_PROCESS else (threads, POOL)
    return peer(row, workers, build=build, threads=pool, ws="websockets-sansio" if with_websockets else "none")
