"""The servers that take part, each as its documentation recommends: with N threads or with N processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.comparing.scenarios import Scenario
from loadtests.harness.measurement import Entry
from loadtests.servers import commands
from loadtests.servers.commands import Build, Interface, Server, WebSockets
from loadtests.servers.interpreters import Interpreter

# Threads that call a WSGI application, in each process of a server that has them.
POOL = 8
OURS = "threadserve"


@dataclass(frozen=True)
class Contestant:
    """A server for applications of one interface. `name` is its package, `peer` its row in the table of peers.

    One that `is_one_process` has more threads where others have more workers.
    """

    name: str
    title: str
    interface: Interface
    peer: str = ""
    is_one_process: bool = False

    def serve(self, build: Build, threads: int, websockets: bool) -> Server:
        """Return it on a kind of interpreter, with so many threads or workers, and with WebSockets or without."""
        if self.name == OURS:
            return commands.threadserve(build, threads, interface=self.interface, ws="auto" if websockets else "none")
        workers, pool = (1, POOL * threads) if self.is_one_process else (threads, POOL)
        ws: WebSockets = "websockets-sansio" if websockets else "none"
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
PEER_NAMES = list(dict.fromkeys(peer.name for peer in CONTESTANTS if peer.name != OURS))


@dataclass(frozen=True)
class Lineup:
    """The servers that take part: `free_threaded_peers` run on both interpreters where ours is free-threaded."""

    server_python: Interpreter
    peer_python: Interpreter
    peers: Sequence[str]
    free_threaded_peers: Sequence[str]

    @property
    def interpreters(self) -> dict[str, dict[str, Any]]:
        """Both with their packages, as JSON takes them: by their short version, ours apart where it is another one."""
        ours, theirs = self.server_python, self.peer_python
        is_alike = ours.short_version == theirs.short_version and ours.path != theirs.path
        name = f"{ours.short_version} of threadserve" if is_alike else ours.short_version
        return {name: ours.facts(), theirs.short_version: theirs.facts()}

    def pythons(self, name: str) -> Iterator[Interpreter]:
        """The interpreters that a server runs on, none where it does not take part."""
        if name in self.peers:
            yield self.peer_python
        if name == OURS or (name in self.free_threaded_peers and self.is_extra(name)):
            yield self.server_python

    def is_extra(self, name: str) -> bool:
        """Return whether a peer may run on ours, and does not run on the same version of Python anyway."""
        is_another = self.peer_python.short_version != self.server_python.short_version
        return self.server_python.free_threaded and (name not in self.peers or is_another)

    def entries(self, scenarios: Sequence[Scenario], threads: Sequence[int]) -> Iterator[Entry]:
        """All servers in all scenarios with each number of threads, in the order of a round."""
        for scenario in scenarios:
            for contestant in CONTESTANTS:
                if contestant.interface == scenario.interface:
                    for interpreter in self.pythons(contestant.name):
                        yield from entries_of(scenario, contestant, interpreter, threads)


def entries_of(
    scenario: Scenario, contestant: Contestant, interpreter: Interpreter, threads: Sequence[int]
) -> Iterator[Entry]:
    """One server on one interpreter, with each number of threads."""
    name = f"{contestant.title} on {interpreter.short_version}"
    for count in sorted(set(threads)):
        yield Entry(scenario, name, contestant.serve(interpreter.build, count, scenario.websockets), interpreter, count)
