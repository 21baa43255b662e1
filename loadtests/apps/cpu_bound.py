"""About 0.2 ms of pure Python for every request.

How many turns of the loop that takes differs between machines and interpreters: `python -m loadtests.apps.cpu_bound`
prints it, and the server under load reads it from the environment, so that every server of a figure does the same work.
"""

import os
from functools import partial
from timeit import repeat

from loadtests.apps import hello
from loadtests.apps.hello import Receive, Scope, Send

TURNS_VARIABLE = "LOADTESTS_CPU_TURNS"
TURNS = int(os.environ.get(TURNS_VARIABLE, "4000"))
TARGET_SECONDS = 0.0002
TRIAL_TURNS = 20_000


def work(turns: int) -> int:
    """Calculate with numbers of its own: nothing in it is shared between threads."""
    total = 1
    for number in range(turns):
        total = (total * 31 + number) % 1000003
    return total


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    work(TURNS)
    await hello.app(scope, receive, send)


if __name__ == "__main__":
    # The fastest of 20 is the one that other processes have disturbed the least.
    print(round(TARGET_SECONDS / min(repeat(partial(work, TRIAL_TURNS), number=1, repeat=20)) * TRIAL_TURNS))
