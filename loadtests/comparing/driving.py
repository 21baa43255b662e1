"""Puts a server under the load of a scenario, by the generator that suits it or that was asked for."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from loadtests.comparing.scenarios import Scenario
from loadtests.errors import LoadTestError
from loadtests.generators import h2load, locust, wrk
from loadtests.generators.result import LoadResult
from loadtests.request import Request

Generator = Literal["locust", "wrk", "h2load"]
VERSIONS: dict[Generator, Callable[[], str]] = {
    "locust": locust.version,
    "wrk": wrk.version,
    "h2load": h2load.version,
}
# Threads of wrk and h2load; one of them is enough for several servers in Python.
GENERATOR_THREADS = 2


@dataclass(frozen=True)
class Effort:
    """How long and how hard to measure; the same for every server. Without a generator the scenario chooses one.

    The think times of Locust's users are multiplied by `think_time`.
    """

    rounds: int
    seconds: int
    warm_up_seconds: int
    users: int
    think_time: float
    connections: int
    generator: Generator | None = None


def generator_for(scenario: Scenario, wanted: Generator | None) -> Generator:
    """The generator that was asked for; otherwise Locust, and for ceilings what is installed of wrk and h2load first.

    Raises LoadTestError where it cannot do what the scenario's users do.
    """
    if wanted is not None and wanted != "locust" and not scenario.is_ceiling:
        raise LoadTestError(f"{wanted} asks one path again and again, which {scenario.name} is not about")
    if wanted is not None:
        return wanted
    fast: tuple[Generator, ...] = ("wrk", "h2load") if scenario.is_ceiling else ()
    return next((name for name in fast if shutil.which(name)), "locust")


def drive(effort: Effort, scenario: Scenario, port: int, folder: Path) -> LoadResult:
    """Warms the server on `port` up and measures; `folder` is for the generator's files.

    Raises LoadTestError where the generator fails or gets no answer.
    """
    generator = generator_for(scenario, effort.generator)
    warm_up, seconds = effort.warm_up_seconds, effort.seconds
    load = wrk.Load(min(GENERATOR_THREADS, effort.connections), effort.connections)
    if generator == "locust":
        users = locust.Users(
            scenario.user, effort.users, effort.think_time, scenario.path, scenario.aside, scenario.timeline
        )
        return locust.run(users, warm_up, seconds, port, folder)
    if generator == "h2load":
        return h2load.run(load, warm_up, seconds, scenario.path, port, folder)
    wrk.run(load, warm_up, Request(scenario.path), port, folder)
    return wrk.run(load, seconds, Request(scenario.path), port, folder)
