"""Measurements as data: a load, the application that it is put on, and the servers of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import click

from loadtests.request import GET_ROOT, Request
from loadtests.results import RATE
from loadtests.servers.commands import Server
from loadtests.servers.interpreters import Interpreter
from loadtests.servers.processes import Running


@dataclass(frozen=True)
class Effort:
    """The amount of load and its seconds, the same for every server. Its parts are named like the options.

    The think times of Locust's users are multiplied by `think_time`.
    """

    rounds: int
    duration: int
    warm_up: int
    connections: int = 64
    users: int = 100
    think_time: float = 1.0

    @classmethod
    def of(cls, options: dict[str, Any]) -> "Effort":
        """Return what the options of a command say of it."""
        return cls(**{part.name: options[part.name] for part in fields(cls) if part.name in options})


@dataclass
class Measured:
    """The outcome of one load, as `Sample` keeps it."""

    values: dict[str, float]
    load: list[str] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
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
# Without a running server, in an environment: the command line, and what is measured.
Alone = Callable[["Entry", dict[str, str]], tuple[list[str], Measured]]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A load on an application, and the request that every server has to answer before it, with `same_answer` alike.

    `shown` are the values that the progress tells, `requires` packages of the application. With `access_log` every
    answer has to be in it. What is measured `alone` has no load.
    """

    name: str
    app: str
    load: Load
    title: str = ""
    request: Request = GET_ROOT
    requires: tuple[str, ...] = ()
    shown: tuple[str, ...] = (RATE, "p50 ms", "p99 ms")
    same_answer: bool = True
    access_log: bool = False
    alone: Alone | None = None


@dataclass(frozen=True)
class Entry:
    """One server in one measurement, with so many threads or workers where that is compared."""

    measurement: Measurement
    name: str
    server: Server
    interpreter: Interpreter
    threads: int = 0

    def __str__(self) -> str:
        threads = f", --threads {self.threads}" if self.threads else ""
        return f"{self.measurement.name}: {self.name}{threads}"

    @property
    def lacks(self) -> str:
        """The reason for which it cannot be measured on its interpreter, or ""."""
        if self.server.interpreted and self.interpreter.form == "interpreted":
            return f"{self.interpreter.path} has no other form of threadserve to compare it with"
        return self.interpreter.missing({*self.server.requires, *self.measurement.requires})


def plan(entries: Iterable[Entry]) -> tuple[list[Entry], list[str]]:
    """Return the entries that can be measured, and one line on each server that lacks something."""
    found = [(entry, entry.lacks) for entry in entries]
    left_out = [f"{entry.measurement.name}: {entry.name} is left out: {lacks}" for entry, lacks in found if lacks]
    return [entry for entry, lacks in found if not lacks], list(dict.fromkeys(left_out))


def number(name: str, least: float, most: float, default: float, what: str) -> Callable[[Any], Any]:
    """Return the option of a number within limits, a whole one where its default is."""
    kind = click.IntRange(int(least), int(most)) if isinstance(default, int) else click.FloatRange(least, most)
    return click.option(name, type=kind, default=default, show_default=True, help=what)
