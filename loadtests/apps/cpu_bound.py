"""About 0.2 ms of pure Python for every request.

How many turns of the loop that takes differs between machines and interpreters: `python -m loadtests.apps.cpu_bound`
prints it, and the server under load reads it from the environment, so that every server of a figure does the same work.
"""

import os
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from loadtests.apps import hello

TURNS_VARIABLE = "LOADTESTS_CPU_TURNS"
TURNS = int(os.environ.get(TURNS_VARIABLE, "4000"))
TARGET_SECONDS = 0.0002


def work(turns: int) -> int:
    """Arithmetic on numbers of its own: nothing in it is shared between threads."""
    total = 1
    for number in range(turns):
        total = (total * 31 + number) % 1000003
    return total


async def app(scope: dict[str, Any], receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    work(TURNS)
    await hello.app(scope, receive, send)


def seconds_for(turns: int) -> float:
    """How long that many turns take: the fastest of 20, which other processes have disturbed the least."""
    fastest = float("inf")
    for _ in range(20):
        began = perf_counter()
        work(turns)
        fastest = min(fastest, perf_counter() - began)
    return fastest


if __name__ == "__main__":
    print(round(TARGET_SECONDS / seconds_for(20_000) * 20_000))
