"""How evenly a server's threads share the requests of kept connections of which a few ask far more than the others.

`python -m loadtests.clients.spread PORT SECONDS` is the client, a process of its own. It opens its connections one
after the other, each with one request that does not count; then each asks at its pace, every eighth of them at ten
times the others'. The application answers with the name of its thread. It prints how often each was named, as JSON.
"""

import asyncio
import json
import sys
from collections import Counter
from time import perf_counter

from loadtests.clients import process
from loadtests.clients.kept import Kept
from loadtests.errors import LoadTestError

THREADS = 4
CONNECTIONS = 64
EVERY = 8
PER_SECOND = 20
MORE_PER_SECOND = 200
SECONDS = 8


async def ask_at_pace(kept: Kept, per_second: float, begin: float, until: float, named: Counter[str]) -> None:
    """One connection's life; where an answer is late, so is what would have been asked meanwhile."""
    due = begin
    while due < until:
        await asyncio.sleep(due - perf_counter())
        named[(await kept.ask("/thread")).decode()] += 1
        due += 1 / per_second


async def measure(port: int, seconds: float) -> Counter[str]:
    """The connections of one pace begin spread over the time between two requests."""
    named: Counter[str] = Counter()
    connections = [await Kept.open(port) for _ in range(CONNECTIONS)]
    began = perf_counter()
    paces = [PER_SECOND if number % EVERY else MORE_PER_SECOND for number in range(CONNECTIONS)]
    await asyncio.gather(
        *(
            ask_at_pace(kept, pace, began + number / CONNECTIONS / pace, began + seconds, named)
            for number, (kept, pace) in enumerate(zip(connections, paces, strict=True))
        )
    )
    return named


def run(port: int, seconds: float = SECONDS) -> dict[str, int]:
    """Runs the client as a process; raises LoadTestError where it fails."""
    return process.run("spread", port, seconds, seconds=seconds)


def busiest_over_mean(named: dict[str, int]) -> float:
    """The requests of the busiest thread over those of one in the mean; a thread may have had none.

    Raises LoadTestError where there are more threads than the server was to have.
    """
    if not 0 < len(named) <= THREADS:
        raise LoadTestError(f"{len(named)} threads have answered, not {THREADS}")
    return max(named.values()) * THREADS / sum(named.values())


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]), float(sys.argv[2])))))
