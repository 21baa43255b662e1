"""How long answers of the admin address take, which is on a loopback address of its own, at the server's port.

`python -m loadtests.clients.admin PORT SECONDS PER_SECOND BLOCKING` is the client, a process of its own. It asks at a
steady pace, each time on a new connection: for the metrics, or beside BLOCKING connections that wait for blocking
requests all the time, and from when they block every event loop, for the health. A time counts from the moment when
the request was due. It prints all times as JSON.
"""

import asyncio
import json
import sys
from dataclasses import asdict

from loadtests.clients import latency, process
from loadtests.clients.latency import PATIENCE, Times
from loadtests.errors import LoadTestError

HOST = "127.0.0.2"
METRICS = ("/metrics",)
HEALTH = ("/livez", "/readyz")
BLOCKED = 503


async def ask_steadily(port: int, seconds: float, per_second: int, paths: tuple[str, ...], times: Times) -> None:
    """Asks for one path after the other. Health is an answer whether it is good or bad."""
    statuses = (200, BLOCKED) if paths == HEALTH else (200,)

    async def ask_once(number: int, due: float) -> None:
        path = paths[number % len(paths)]
        await latency.timed(latency.ask(port, path, HOST, statuses), path, due, times.quick, times.failures)

    await latency.steadily(seconds, per_second, ask_once)


async def block(port: int, failures: list[str]) -> None:
    """One blocking request after the other, until one fails."""
    try:
        while True:
            await latency.ask(port, "/block")
    except OSError as error:
        failures.append(f"/block: {type(error).__name__} {error}")


async def until_blocked(port: int, failures: list[str]) -> None:
    """Returns when the server says that all its loops are blocked; raises LoadTestError where it does not."""
    try:
        async with asyncio.timeout(PATIENCE):
            while await latency.ask(port, "/livez", HOST, (200, BLOCKED)) != BLOCKED:
                pass
    except OSError as error:
        raise LoadTestError(f"not every loop is blocked: {failures[:1] or type(error).__name__}") from None


async def measure(port: int, seconds: float, per_second: int, blocking: int) -> Times:
    """Asks for that long; raises LoadTestError where not every loop is blocked."""
    times = Times()
    waiting = [asyncio.create_task(block(port, times.failures)) for _ in range(blocking)]
    if blocking:
        await until_blocked(port, times.failures)
    await ask_steadily(port, seconds, per_second, HEALTH if blocking else METRICS, times)
    for task in waiting:
        task.cancel()
    return times


def run(port: int, seconds: float, per_second: int, blocking: int = 0) -> Times:
    """Runs the client as a process. Raises LoadTestError where it fails or nothing was answered."""
    times = Times(**process.run("admin", port, seconds, per_second, blocking, seconds=seconds))
    if not times.quick:
        raise LoadTestError(f"no answers: {times.failures[:1]}")
    return times


if __name__ == "__main__":
    port, per_second, blocking = (int(sys.argv[place]) for place in (1, 3, 4))
    print(json.dumps(asdict(asyncio.run(measure(port, float(sys.argv[2]), per_second, blocking)))))
