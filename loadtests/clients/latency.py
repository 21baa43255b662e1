"""How long quick requests wait while another request holds an event loop.

`python -m loadtests.clients.latency PORT SECONDS` is the client, a process of its own: one blocking request after
another, and beside them quick ones at a steady pace, each on a new connection. A quick request's time counts from the
moment when it was due, so that a late start is not left out. It prints all times as JSON.
"""

import asyncio
import json
import math
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

from loadtests.clients import process
from loadtests.errors import LoadTestError

QUICK_PER_SECOND = 200
PATIENCE = 10.0


@dataclass
class Times:
    """Milliseconds of each quick and each blocking request that was answered, and the failures."""

    quick: list[float] = field(default_factory=list)
    blocking: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


async def ask(port: int, path: str, host: str = "127.0.0.1", statuses: tuple[int, ...] = (200,)) -> int:
    """The status of a GET on a connection of its own; raises OSError unless the whole answer has one of these."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read(-1)
    finally:
        writer.close()
    for status in statuses:
        if answer.startswith(b"HTTP/1.1 %d " % status):
            return status
    raise OSError(f"{path}: {answer[:40]!r}")


async def timed(asking: Awaitable[object], path: str, began: float, times: list[float], failures: list[str]) -> None:
    """Waits for the answer and notes the time since `began`, or the failure."""
    try:
        async with asyncio.timeout(PATIENCE):
            await asking
    except OSError as error:
        failures.append(f"{path}: {type(error).__name__} {error}")
    else:
        times.append(round((perf_counter() - began) * 1000, 3))


async def steadily(
    seconds: float, per_second: int, ask_once: Callable[[int, float], Coroutine[Any, Any, None]]
) -> None:
    """Calls `ask_once` at a steady pace, which does not wait for answers, with its number and the moment it is due."""
    began = perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * per_second)):
            due = began + number / per_second
            await asyncio.sleep(due - perf_counter())
            group.create_task(ask_once(number, due))


async def block(port: int, until: float, times: Times) -> None:
    while perf_counter() < until:
        await timed(ask(port, "/block"), "/block", perf_counter(), times.blocking, times.failures)


async def measure(port: int, seconds: float) -> Times:
    """Asks for that long."""
    times = Times()

    async def ask_once(number: int, due: float) -> None:
        await timed(ask(port, "/"), "/", due, times.quick, times.failures)

    blocking = block(port, perf_counter() + seconds, times)
    await asyncio.gather(blocking, steadily(seconds, QUICK_PER_SECOND, ask_once))
    return times


def run(port: int, seconds: int) -> Times:
    """Runs the client as a process. Raises LoadTestError where it fails or nothing was blocked."""
    return require_answers(Times(**process.run("latency", port, seconds, seconds=seconds)))


def require_answers(times: Times) -> Times:
    """The same; raises LoadTestError where nothing was blocked, or no quick request was answered."""
    if not times.quick or not times.blocking:
        raise LoadTestError(f"no answers: {times.failures[:1]}")
    return times


def percentile(times: list[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value that so many percent of all do not exceed."""
    ranked = sorted(times)
    return ranked[max(0, math.ceil(percent * len(ranked) / 100) - 1)]


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(measure(int(sys.argv[1]), float(sys.argv[2]))))))
