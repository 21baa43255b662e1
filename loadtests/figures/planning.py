"""What can be measured with what is installed."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from loadtests.errors import LoadTestError
from loadtests.figures.figure import Figure
from loadtests.figures.report import Outcome
from loadtests.servers.commands import Build, Server
from loadtests.servers.interpreters import Interpreter


def required(figure: Figure, server: Server) -> set[str]:
    """The packages that a server and the figure's app need on the server's interpreter."""
    return {*server.requires, *figure.app_requires}


def lacking(figure: Figure, server: Server, interpreter: Interpreter) -> str:
    """Why the server cannot be measured on its interpreter, or ""."""
    if server.interpreted and interpreter.form == "interpreted":
        return f"{interpreter.path} has no other form of threadserve to compare it with"
    return interpreter.missing(required(figure, server))


def needs(figures: Iterable[Figure], build: Build) -> set[str]:
    """The packages that the servers and apps of these figures need on an interpreter of this build."""
    return {
        name
        for figure in figures
        for server in figure.servers
        if server.build == build
        for name in required(figure, server)
    }


def outcomes_of(figures: Iterable[Figure], interpreters: Mapping[Build, Interpreter]) -> list[Outcome]:
    """The figures, each without the peers that lack a package and with a line on each of those.

    Raises LoadTestError where threadserve lacks one.
    """
    return [outcome_of(figure, interpreters) for figure in figures]


def outcome_of(figure: Figure, interpreters: Mapping[Build, Interpreter]) -> Outcome:
    lacks = {server: lacking(figure, server, interpreters[server.build]) for server in figure.servers}
    if lacks[figure.ours]:
        raise LoadTestError(lacks[figure.ours])
    left_out = [f"{server.label} is left out: {why}" for server, why in lacks.items() if why]

    present = [replace(peer, ways=tuple(way for way in peer.ways if not lacks[way])) for peer in figure.peers]
    return Outcome(replace(figure, peers=tuple(peer for peer in present if peer.ways)), left_out=left_out)
