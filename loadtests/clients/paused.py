"""How many requests a server answers on many kept connections that pause between them, and for how much CPU time.

`python -m loadtests.clients.paused PORT PID CONNECTIONS SECONDS` is the client, a process of its own. Its connections
start one after the other within a pause. After as much time again what is answered is counted, with the CPU time of
all the server's processes; `client_cpu_share` of the result tells how busy the client was.
"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from time import perf_counter, process_time

from loadtests.clients import idle, process
from loadtests.clients.kept import Kept
from loadtests.errors import LoadTestError
from loadtests.servers import usage

CONNECTIONS = 2000
PAUSE_SECONDS = 1.5
SECONDS = 6


@dataclass(frozen=True)
class PausedResult:
    """What was answered within the seconds of the measurement; `client_cpu_share` is of one CPU."""

    requests: int
    seconds: float
    cpu_seconds: float
    client_cpu_share: float


async def ask_again(port: int, begin: float, until: float, answered: list[float]) -> None:
    """One connection's life; `answered` gets the moments of its answers but the first."""
    await asyncio.sleep(begin - perf_counter())
    kept = await Kept.open(port)
    while perf_counter() < until:
        await asyncio.sleep(PAUSE_SECONDS)
        await kept.ask()
        answered.append(perf_counter())


async def measure(port: int, pid: int, count: int, seconds: float) -> PausedResult:
    """Raises LoadTestError where a connection ends before its time."""
    idle.allow_files(count)
    answered: list[float] = []
    began = perf_counter()
    begins = [began + number * PAUSE_SECONDS / count for number in range(count)]
    until = began + 2 * PAUSE_SECONDS + seconds
    asking = asyncio.gather(*(ask_again(port, begin, until, answered) for begin in begins))
    await asyncio.sleep(2 * PAUSE_SECONDS)
    before, at, cpu, own = len(answered), perf_counter(), usage.cpu_seconds(pid), process_time()
    await asyncio.sleep(seconds)
    requests, took, cpu = len(answered) - before, perf_counter() - at, usage.cpu_seconds(pid) - cpu
    own_share = (process_time() - own) / took
    await asking
    return PausedResult(requests, took, cpu, round(own_share, 6))


def run(port: int, pid: int, count: int = CONNECTIONS, seconds: float = SECONDS) -> PausedResult:
    """Runs the client as a process; raises LoadTestError where it fails or nothing was answered."""
    result = PausedResult(**process.run("paused", port, pid, count, seconds, seconds=seconds))
    if not result.requests:
        raise LoadTestError("nothing was answered")
    return result


if __name__ == "__main__":
    port, server, connections = map(int, sys.argv[1:4])
    measured = asyncio.run(measure(port, server, connections, float(sys.argv[4])))
    print(json.dumps(asdict(measured)))
