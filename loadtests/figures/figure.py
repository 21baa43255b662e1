"""What a figure is: what is asked of which servers, and what the result has to be."""

from dataclasses import dataclass
from typing import Literal

from loadtests.request import GET_ROOT, Request
from loadtests.servers.commands import Server

Measure = Literal[
    "rate",
    "rate-and-memory",
    "latency",
    "memory",
    "echo",
    "streaming",
    "idle",
    "instructions",
    "kept-latency",
    "kept-paused",
    "kept-idle",
    "kept-spread",
    "admin-busy",
    "admin-blocked",
    "admin-scrape",
]
Bound = Literal["at least", "at most"]
# The value of the measure of that name.
INSTRUCTIONS = "instructions per request"


@dataclass(frozen=True)
class Goal:
    """A value and what is wanted of it: of the ratio of medians, ours to a peer's, or of our median alone.

    Without a target the value is only shown.
    """

    value: str
    bound: Bound = "at least"
    target: float | None = None

    def __str__(self) -> str:
        return f"{self.bound} {self.target:g}"

    def is_reached(self, number: float) -> bool:
        """Whether a ratio, or the value alone, is as wanted; there has to be a target."""
        assert self.target is not None
        return number >= self.target if self.bound == "at least" else number <= self.target

    def best(self, medians: dict[str, float]) -> str:
        """Whose median is the best: the greatest of what ours has to exceed, the least of what it must not."""
        return (max if self.bound == "at least" else min)(medians, key=lambda server: medians[server])


@dataclass(frozen=True)
class Peer:
    """Whom ours is compared with, and what is wanted of the ratios.

    Where there are several ways to run it, all of them are measured, and the best counts: maybe another for each value.
    """

    ways: tuple[Server, ...]
    goals: tuple[Goal, ...]


@dataclass(frozen=True)
class Figure:
    """Some lines of the table.

    What is wanted of ours alone is in `alone`; every one of `peers` has its own goals. `message_size` is that of
    WebSocket messages, in bytes, and `benchmark` the one of `loadtests.micro` whose instructions are counted. With
    `streams` requests come over HTTP/2, on so many `connections` with so many streams each, from servers that speak it.
    """

    name: str
    title: str
    measure: Measure
    app: str
    ours: Server
    peers: tuple[Peer, ...] = ()
    alone: tuple[Goal, ...] = ()
    request: Request = GET_ROOT
    message_size: int = 0
    benchmark: str = ""
    connections: int = 0
    streams: int = 0
    access_log: bool = False
    app_requires: tuple[str, ...] = ()

    @property
    def servers(self) -> tuple[Server, ...]:
        """In the order of a round."""
        return (self.ours, *(way for peer in self.peers for way in peer.ways))

    @property
    def is_exact(self) -> bool:
        """Whether the same comes out each time, so that one round is enough."""
        return self.measure == "instructions"

    @property
    def values(self) -> list[str]:
        """The names of all values that are of interest."""
        goals = [*self.alone, *(goal for peer in self.peers for goal in peer.goals)]
        return list(dict.fromkeys(goal.value for goal in goals))


def against(*ways: Server, requests: float) -> Peer:
    """A peer whose best requests per second ours has to exceed so many times."""
    return Peer(ways, (Goal("requests/s", "at least", requests),))


def echoing(*ways: Server, messages: float) -> Peer:
    """A peer whose best messages per second ours has to exceed so many times."""
    return Peer(ways, (Goal("messages/s", "at least", messages),))


def memory(target: float) -> tuple[Goal, ...]:
    """At most this share of the peer's memory, however it is counted."""
    return tuple(Goal(value, "at most", target) for value in ("PSS MB", "USS MB", "RSS MB"))
