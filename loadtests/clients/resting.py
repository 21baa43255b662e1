"""How much memory a server needs for connections that are kept and rest.

`python -m loadtests.clients.resting PORT PID COUNT REST` is the client, a process of its own. It opens and closes a few
connections first, then COUNT, each of which asks once. Memory is the USS of the server's processes, read before and
REST seconds after the last was opened.
"""

import json
import select
import sys
import time
from dataclasses import asdict, dataclass

from loadtests.clients import idle, process
from loadtests.errors import LoadTestError
from loadtests.servers import memory

# As many of them as there may be open files.
CONNECTIONS = 20_000
REST_SECONDS = 5


@dataclass(frozen=True)
class RestingResult:
    """The memory in MB, and how many connections there were; `opening_seconds` is what it took to open them."""

    connections: int
    before: float
    after: float
    opening_seconds: float

    @property
    def kilobytes(self) -> float:
        """What one connection costs."""
        return (self.after - self.before) * 1000 / self.connections


def measure(port: int, pid: int, count: int, rest: float) -> RestingResult:
    """Raises LoadTestError where the server closes a connection."""
    idle.allow_files(count)
    with idle.Connections(port) as first:
        for _ in range(idle.WARM_UP_CONNECTIONS):
            first.open_keep_alive()
    time.sleep(idle.SETTLE_SECONDS)
    before = memory.of_tree(pid)["USS MB"]
    began = time.monotonic()
    with idle.Connections(port) as connections:
        watch = select.poll()
        for _ in range(count):
            watch.register(connections.open_keep_alive(), select.POLLIN)
        took = time.monotonic() - began
        time.sleep(rest)
        after = memory.of_tree(pid)["USS MB"]
        if closed := watch.poll(0):
            raise LoadTestError(f"the server has closed {len(closed)} of {count} resting connections")
    return RestingResult(count, before, after, took)


def run(port: int, pid: int, count: int, rest: float = REST_SECONDS) -> RestingResult:
    """Runs the client as a process; raises LoadTestError where it fails."""
    return RestingResult(**process.run("resting", port, pid, count, rest))


if __name__ == "__main__":
    port, server, connections = map(int, sys.argv[1:4])
    measured = measure(port, server, connections, float(sys.argv[4]))
    print(json.dumps(asdict(measured)))
