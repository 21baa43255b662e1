"""The servers that take part, each as its documentation recommends: with N threads or with N processes."""

from collections.abc import Callable
from dataclasses import dataclass

from loadtests.comparing.scenarios import Scenario
from loadtests.servers import commands
from loadtests.servers.commands import Build, Interface, Server

# Threads that call a WSGI application, in each process of a server that has them.
POOL = 8


@dataclass(frozen=True)
class Wanted:
    """What a server has to do."""

    build: Build
    threads: int
    websockets: bool


@dataclass(frozen=True)
class Contestant:
    """A server for applications of one interface. `name` is its package; `title` says so where it is one process."""

    name: str
    title: str
    interface: Interface
    serve: Callable[[Wanted], Server]

    def server(self, scenario: Scenario, build: Build, threads: int) -> Server:
        """The server for this scenario, as it is started."""
        return self.serve(Wanted(build, threads, scenario.websockets))


THREADSERVE = (
    Contestant(
        "threadserve",
        "threadserve",
        "asgi",
        lambda wanted: commands.threadserve(wanted.build, wanted.threads, ws="auto" if wanted.websockets else "none"),
    ),
    Contestant(
        "threadserve",
        "threadserve",
        "wsgi",
        lambda wanted: commands.threadserve(wanted.build, wanted.threads, interface="wsgi"),
    ),
)

PEERS = (
    Contestant(
        "uvicorn",
        "Uvicorn",
        "asgi",
        lambda wanted: commands.uvicorn(
            wanted.threads, build=wanted.build, ws="websockets-sansio" if wanted.websockets else "none"
        ),
    ),
    Contestant(
        "granian",
        "Granian",
        "asgi",
        lambda wanted: commands.granian(wanted.threads, build=wanted.build, ws=wanted.websockets),
    ),
    Contestant("h2corn", "h2corn", "asgi", lambda wanted: commands.h2corn(wanted.build, workers=wanted.threads)),
    Contestant(
        "hypercorn",
        "Hypercorn",
        "asgi",
        lambda wanted: commands.hypercorn(wanted.build, workers=wanted.threads),
    ),
    Contestant("daphne", "Daphne (1 process)", "asgi", lambda wanted: commands.daphne(wanted.build)),
    Contestant(
        "gunicorn",
        "Gunicorn ASGI",
        "asgi",
        lambda wanted: commands.gunicorn_asgi(wanted.build, workers=wanted.threads),
    ),
    Contestant(
        "granian",
        "Granian",
        "wsgi",
        lambda wanted: commands.granian(wanted.threads, build=wanted.build, interface="wsgi"),
    ),
    Contestant(
        "gunicorn",
        "Gunicorn gthread",
        "wsgi",
        lambda wanted: commands.gunicorn(wanted.build, workers=wanted.threads, threads=POOL),
    ),
    Contestant(
        "waitress",
        "Waitress (1 process)",
        "wsgi",
        lambda wanted: commands.waitress(wanted.build, threads=POOL * wanted.threads),
    ),
    Contestant(
        "cheroot",
        "Cheroot (1 process)",
        "wsgi",
        lambda wanted: commands.cheroot(wanted.build, threads=POOL * wanted.threads),
    ),
)
PEER_NAMES = list(dict.fromkeys(peer.name for peer in PEERS))
