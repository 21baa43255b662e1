"""The servers that take part, each as its documentation recommends: with N threads or with N processes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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
    """A server for applications of one interface. `name` is its package; `title` says so where it is one process.

    `serve` makes it of the kind of interpreter, so many threads, and whether it serves WebSockets.
    """

    name: str
    title: str
    interface: Interface
    serve: Callable[[Build, int, bool], Server]


def sansio(websockets: bool) -> WebSockets:
    return "websockets-sansio" if websockets else "none"


def gthread(build: Build, workers: int) -> Server:
    return commands.gunicorn(build, workers=workers, threads=POOL)


def pooled(module: Literal["waitress", "cheroot"], build: Build, workers: int) -> Server:
    return commands.pooled(module, build, threads=POOL * workers)


CONTESTANTS = (
    Contestant(OURS, OURS, "asgi", lambda build, n, ws: commands.threadserve(build, n, ws="auto" if ws else "none")),
    Contestant(OURS, OURS, "wsgi", lambda build, n, ws: commands.threadserve(build, n, interface="wsgi")),
    Contestant("uvicorn", "Uvicorn", "asgi", lambda build, n, ws: commands.uvicorn(n, build=build, ws=sansio(ws))),
    Contestant("granian", "Granian", "asgi", lambda build, n, ws: commands.granian(n, build=build, ws=ws)),
    Contestant("h2corn", "h2corn", "asgi", lambda build, n, ws: commands.h2corn(build, workers=n)),
    Contestant("hypercorn", "Hypercorn", "asgi", lambda build, n, ws: commands.hypercorn(build, workers=n)),
    Contestant("daphne", "Daphne (1 process)", "asgi", lambda build, n, ws: commands.daphne(build)),
    Contestant("gunicorn", "Gunicorn ASGI", "asgi", lambda build, n, ws: commands.gunicorn_asgi(build, workers=n)),
    Contestant("granian", "Granian", "wsgi", lambda build, n, ws: commands.granian(n, build=build, interface="wsgi")),
    Contestant("gunicorn", "Gunicorn gthread", "wsgi", lambda build, n, ws: gthread(build, n)),
    Contestant("waitress", "Waitress (1 process)", "wsgi", lambda build, n, ws: pooled("waitress", build, n)),
    Contestant("cheroot", "Cheroot (1 process)", "wsgi", lambda build, n, ws: pooled("cheroot", build, n)),
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
