"""A figure: a measurement of threadserve, alone or beside its peers, with the values that are wanted."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from loadtests.harness import loads
from loadtests.harness.measurement import Load, Measurement
from loadtests.results import RATE, Bound, Target
from loadtests.servers.commands import Server

HELLO = "loadtests.apps.hello:app"


class Goal(NamedTuple):
    """A value and what is wanted of it: of the ratio of medians, ours to a peer's, or of our median alone.

    Where there are several ways to run a peer, all of them are measured, and the best counts: maybe another for each
    value. Without `wanted` the value is only shown.
    """

    value: str
    bound: Bound
    wanted: float | None
    ways: tuple[Server, ...]


@dataclass(frozen=True, kw_only=True)
class Figure(Measurement):
    """A measurement, its servers in the order of a round, ours first, and what is wanted."""

    servers: tuple[Server, ...]
    targets: tuple[Target, ...]


def figure(name: str, ours: Server, *goals: Goal, app: str = HELLO, load: Load = loads.rate, **others: Any) -> Figure:
    """Return a figure, which without more is about the rate of a hello world; `others` are parts of a measurement."""
    targets = [
        Target(goal.value, goal.bound, goal.wanted, ours.label, [way.label for way in goal.ways]) for goal in goals
    ]
    return Figure(
        name=name,
        app=app,
        load=load,
        shown=tuple(dict.fromkeys(goal.value for goal in goals)),
        servers=tuple(dict.fromkeys([ours, *(way for goal in goals for way in goal.ways)])),
        targets=tuple(targets),
        **others,
    )


def least(wanted: float | None, *ways: Server, value: str = RATE) -> Goal:
    """Return the goal to exceed a number, or the peer's value so many times."""
    return Goal(value, "at least", wanted, ways)


def most(wanted: float | None, value: str, *ways: Server) -> Goal:
    """Return the goal not to exceed a number, or the peer's value so many times."""
    return Goal(value, "at most", wanted, ways)


def memory(wanted: float, *ways: Server) -> list[Goal]:
    """Return the goals not to exceed such a share of the peer's memory, however it is counted."""
    return [most(wanted, value, *ways) for value in ("PSS MB", "USS MB", "RSS MB")]
