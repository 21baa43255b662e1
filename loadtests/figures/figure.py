"""A figure: a measurement of threadserve, alone or beside its peers, with the values that are wanted."""

from dataclasses import dataclass, replace

from loadtests.figures.titles import TITLES
from loadtests.harness import loads
from loadtests.harness.measurement import Load, Measurement
from loadtests.request import GET_ROOT, Request
from loadtests.results.record import RATE, Bound, Target
from loadtests.servers.commands import Server

HELLO = "loadtests.apps.hello:app"
P50, P99 = "p50 ms", "p99 ms"


@dataclass(frozen=True)
class Goal:
    """A value and what is wanted of it: of the ratio of medians, ours to a peer's, or of our median alone.

    Where there are several ways to run a peer, all of them are measured, and the best counts: maybe another for each
    value. Without a target the value is only shown.
    """

    value: str
    bound: Bound
    target: float | None
    ways: tuple[Server, ...]


@dataclass(frozen=True, kw_only=True)
class Figure(Measurement):
    """A measurement, whom it is about, and what is wanted."""

    ours: Server
    goals: tuple[Goal, ...]

    @property
    def servers(self) -> list[Server]:
        """All servers, in the order of a round."""
        return list(dict.fromkeys([self.ours, *(way for goal in self.goals for way in goal.ways)]))

    @property
    def targets(self) -> list[Target]:
        """The goals as they are recorded."""
        return [
            Target(goal.value, goal.bound, goal.target, self.ours.label, [way.label for way in goal.ways])
            for goal in self.goals
        ]


def figure(
    name: str, ours: Server, *goals: Goal, app: str = HELLO, load: Load = loads.rate, request: Request = GET_ROOT
) -> Figure:
    """Return a figure, which without more is about the rate of a hello world."""
    values = tuple(dict.fromkeys(goal.value for goal in goals))
    return Figure(
        name=name, title=TITLES[name], app=app, load=load, request=request, shown=values, ours=ours, goals=goals
    )


def requiring(figure: Figure, *packages: str) -> Figure:
    """Return the figure, whose app needs these packages."""
    return replace(figure, requires=packages)


def least(target: float | None, *ways: Server, value: str = RATE) -> Goal:
    """Return the goal to exceed a number, or the peer's value so many times."""
    return Goal(value, "at least", target, ways)


def most(target: float | None, value: str, *ways: Server) -> Goal:
    """Return the goal not to exceed a number, or the peer's value so many times."""
    return Goal(value, "at most", target, ways)


def memory(target: float, *ways: Server) -> list[Goal]:
    """Return the goals not to exceed such a share of the peer's memory, however it is counted."""
    return [most(target, value, *ways) for value in ("PSS MB", "USS MB", "RSS MB")]
