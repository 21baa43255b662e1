"""The servers that take part, each as its documentation recommends: with N threads or with N processes."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from loadtests.comparing.scenarios import Scenario
from loadtests.harness.measurement import Entry
from loadtests.servers import commands
from loadtests.servers.commands import Build, Interface, Server
from loadtests.servers.interpreters import Interpreter

# Threads that call a WSGI application, in each process of a server that has them.
POOL = 8
OURS = "threadserve"
# Peers that claim to support free-threaded Python.
FREE_THREADED_PEERS = ("granian", "h2corn", "gunicorn")


class Contestant(NamedTuple):
    """A server for applications of one interface. `package` is its name, `peer` its row in the table of peers.

    One that `is_one_process` has more threads where others have more workers.
    """

    package: str
    title: str
    interface: Interface
    peer: str = ""
    is_one_process: bool = False

    def serve(self, build: Build, threads: int, websockets: bool) -> Server:
        """Return it on a kind of interpreter, with so many threads or workers, and with WebSockets or without."""
        if self.package == OURS:
            return commands.threadserve(build, threads, interface=self.interface, ws="auto" if websockets else "none")
        workers, pool = (1, POOL * threads) if self.is_one_process else (threads, POOL)
        ws: commands.WebSockets = "websockets-sansio" if websockets else "none"
        return commands.peer(self.peer, workers, build=build, threads=pool, ws=ws)


CONTESTANTS = (
    Contestant(OURS, OURS, "asgi"),
    Contestant(OURS, OURS, "wsgi"),
    Contestant("uvicorn", "Uvicorn", "asgi", "uvicorn"),
    Contestant("granian", "Granian", "asgi", "granian"),
    Contestant("h2corn", "h2corn", "asgi", "h2corn"),
    Contestant("hypercorn", "Hypercorn", "asgi", "hypercorn"),
    Contestant("daphne", "Daphne (1 process)", "asgi", "daphne", is_one_process=True),
    Contestant("gunicorn", "Gunicorn ASGI", "asgi", "gunicorn"),
    Contestant("granian", "Granian", "wsgi", "granian wsgi"),
    Contestant("gunicorn", "Gunicorn gthread", "wsgi", "gthread"),
    Contestant("waitress", "Waitress (1 process)", "wsgi", "waitress", is_one_process=True),
    Contestant("cheroot", "Cheroot (1 process)", "wsgi", "cheroot", is_one_process=True),
)
PEER_NAMES = list(dict.fromkeys(one.package for one in CONTESTANTS if one.package != OURS))


def pythons(package: str, ours: Interpreter, theirs: Interpreter) -> list[Interpreter]:
    """Return the interpreters that a server runs on: some peers run on a free-threaded one of ours as well."""
    if package == OURS:
        return [ours]
    is_another = ours.free_threaded and ours.short_version != theirs.short_version
    is_ready = is_another and package in FREE_THREADED_PEERS and package in ours.packages
    return [theirs, ours] if is_ready else [theirs]


def lineup(
    scenarios: Sequence[Scenario], threads: Sequence[int], ours: Interpreter, theirs: Interpreter, peers: Sequence[str]
) -> Iterator[Entry]:
    """All servers in all scenarios with each number of threads, in the order of a round."""
    for scenario in scenarios:
        for one in CONTESTANTS:
            if one.interface == scenario.interface and one.package in (OURS, *peers):
                for python in pythons(one.package, ours, theirs):
                    for count in threads:
                        server = one.serve(python.build, count, scenario.websockets)
                        yield Entry(scenario, f"{one.title} on {python.short_version}", server, python, count)
