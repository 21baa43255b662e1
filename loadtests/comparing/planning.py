"""Which server is measured in which scenario, with what is installed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.comparing.contestants import PEERS, THREADSERVE, Contestant
from loadtests.comparing.scenarios import Scenario
from loadtests.servers.commands import Build, Server
from loadtests.servers.interpreters import Interpreter


@dataclass(frozen=True)
class Lineup:
    """Which servers take part and where: `free_threaded_peers` run on both interpreters where ours is free-threaded."""

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

    def entries(self) -> Iterator[tuple[Contestant, Interpreter]]:
        """Every server with each interpreter that it runs on, ours first."""
        for contestant in THREADSERVE:
            yield contestant, self.server_python
        for peer in PEERS:
            if peer.name in self.peers:
                yield peer, self.peer_python
            if peer.name in self.free_threaded_peers and self.server_python.free_threaded and self.is_extra(peer):
                yield peer, self.server_python

    def is_extra(self, peer: Contestant) -> bool:
        """Whether the peer does not run on the same version of Python anyway."""
        return peer.name not in self.peers or self.peer_python.short_version != self.server_python.short_version


@dataclass(frozen=True)
class Case:
    """One server in one scenario with so many threads, or workers."""

    scenario: Scenario
    name: str
    server: Server
    interpreter: Interpreter
    threads: int

    def __str__(self) -> str:
        return f"{self.scenario.name}: {self.name}, --threads {self.threads}"


def plan(scenarios: Sequence[Scenario], lineup: Lineup, threads: Sequence[int]) -> tuple[list[Case], list[str]]:
    """The cases in the order of a round, scenario by scenario; and one line on each server that lacks something."""
    cases: list[Case] = []
    left_out: list[str] = []
    for scenario in scenarios:
        for contestant, interpreter in lineup.entries():
            if contestant.interface != scenario.interface:
                continue
            found = [case_of(scenario, contestant, interpreter, count) for count in sorted(set(threads))]
            lacks = interpreter.missing({*found[0].server.requires, *scenario.requires})
            if lacks:
                left_out.append(f"{scenario.name}: {found[0].name} is left out: {lacks}")
            else:
                cases += found
    return cases, left_out


def case_of(scenario: Scenario, contestant: Contestant, interpreter: Interpreter, threads: int) -> Case:
    build: Build = "free-threaded" if interpreter.free_threaded else "ordinary"
    server = contestant.server(scenario, build, threads)
    return Case(scenario, f"{contestant.title} on {interpreter.short_version}", server, interpreter, threads)
