"""What a figure is: what is asked of which servers, and what the result has to be."""

from dataclasses import dataclass
from typing import Literal

from loadtests.request import GET_ROOT, Request
from loadtests.servers.commands import Server

Measure = Literal["rate", "rate-and-memory", "latency", "memory", "echo", "streaming", "idle"]
Bound = Literal["at least", "at most"]


@dataclass(frozen=True)
class Goal:
    """A value and what is wanted of it: of the ratio of medians, ours to each peer's, or of our median `itself`.

    Without a target the value is only shown.
    """

    value: str
    bound: Bound = "at least"
    target: float | None = None
    itself: bool = False

    def __str__(self) -> str:
        return f"{self.bound} {self.target:g}"

    def is_reached(self, number: float) -> bool:
        """Whether a ratio, or the value itself, is as wanted; there has to be a target."""
        assert self.target is not None
        return number >= self.target if self.bound == "at least" else number <= self.target


@dataclass(frozen=True)
class Figure:
    """Some lines of the table.

    The goals have to be reached against every one of `peers`; `others` are measured in the same rounds for comparison.
    `message_size` is that of WebSocket messages, in bytes.
    """

    name: str
    title: str
    measure: Measure
    app: str
    ours: Server
    goals: tuple[Goal, ...]
    peers: tuple[Server, ...] = ()
    others: tuple[Server, ...] = ()
    request: Request = GET_ROOT
    message_size: int = 0
    access_log: bool = False
    app_requires: tuple[str, ...] = ()

    @property
    def servers(self) -> tuple[Server, ...]:
        """In the order of a round."""
        return (self.ours, *self.peers, *self.others)


def requests_per_second(target: float) -> tuple[Goal, ...]:
    """What a figure of the measure `rate` wants: at least this ratio."""
    return (Goal("requests/s", "at least", target),)


def memory(target: float) -> tuple[Goal, ...]:
    """At most this share of the peer's memory, however it is counted."""
    return tuple(Goal(value, "at most", target) for value in ("PSS MB", "USS MB", "RSS MB"))
