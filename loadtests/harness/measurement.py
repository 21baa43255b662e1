"""Measurements as data: a load, the application that it is put on, and the servers of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from loadtests.errors import LoadTestError
from loadtests.generators import wrk
from loadtests.request import GET_ROOT, Request
from loadtests.results.record import RATE
from loadtests.servers.commands import Server
from loadtests.servers.interpreters import Interpreter
from loadtests.servers.processes import Running

Generator = Literal["locust", "wrk", "h2load"]


@dataclass(frozen=True)
class Effort:
    """The amount of load and its seconds, the same for every server. Its parts are named like the options.

    Without a `generator` the load chooses one. The think times of Locust's users are multiplied by `think_time`, and
    `idle_connections` are so many of each kind.
    """

    rounds: int
    duration: int
    warm_up: int
    connections: int = 64
    threads: int = 2
    users: int = 100
    think_time: float = 1.0
    generator: Generator | None = None
    idle_connections: int = 2000

    @property
    def load(self) -> wrk.Load:
        """The load of wrk and h2load."""
        return wrk.Load(min(self.threads, self.connections), self.connections, self.warm_up, self.duration)


@dataclass
class Measured:
    """The outcome of one load, as `record.Sample` keeps it."""

    values: dict[str, float]
    load: list[str] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    timeline: list[tuple[float, float]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Subject:
    """A server that answers, to be put under load; `folder` is for the load generator's files."""

    effort: Effort
    request: Request
    server: Server
    running: Running
    folder: Path


Load = Callable[[Subject], Measured]


@dataclass(frozen=True)
class Measurement:
    """A load on an application, and the request that every server has to answer before it, with `same_answer` alike.

    `shown` are the values that the progress tells, `requires` packages of the application. With `access_log` every
    answer has to be in it. Instead of a load it can be about the instructions of a `benchmark`: one round is enough.
    """

    name: str
    title: str
    app: str
    load: Load
    request: Request = GET_ROOT
    requires: tuple[str, ...] = ()
    shown: tuple[str, ...] = (RATE, "p50 ms", "p99 ms")
    same_answer: bool = True
    access_log: bool = False
    benchmark: str = ""


@dataclass(frozen=True)
class Entry:
    """One server in one measurement, with so many threads or workers; without one that is needed there is no result."""

    measurement: Measurement
    name: str
    server: Server
    interpreter: Interpreter
    threads: int = 0
    is_needed: bool = False

    def __str__(self) -> str:
        threads = f", --threads {self.threads}" if self.threads else ""
        return f"{self.measurement.name}: {self.name}{threads}"

    def rounds(self, effort: Effort) -> int:
        """Return how many rounds there are."""
        return 1 if self.measurement.benchmark else effort.rounds

    @property
    def lacks(self) -> str:
        """The reason for which it cannot be measured on its interpreter, or ""."""
        if self.server.interpreted and self.interpreter.form == "interpreted":
            return f"{self.interpreter.path} has no other form of threadserve to compare it with"
        return self.interpreter.missing({*self.server.requires, *self.measurement.requires})


def plan(entries: Iterable[Entry]) -> tuple[list[Entry], list[str]]:
    """Return the entries that can be measured, and one line on each server that lacks something.

    Raises LoadTestError where that one is needed.
    """
    kept: list[Entry] = []
    left_out: dict[str, None] = {}
    for entry in entries:
        if not (lacks := entry.lacks):
            kept.append(entry)
        elif entry.is_needed:
            raise LoadTestError(lacks)
        else:
            left_out[f"{entry.measurement.name}: {entry.name} is left out: {lacks}"] = None
    return kept, list(left_out)
