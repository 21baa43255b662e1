"""What a server uses when nobody is connected."""

import http.client
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress

from loadtests.clients.steady import HOST, SERVED_BY
from loadtests.soak import sampling
from loadtests.soak.events import Event
from loadtests.soak.plan import Plan
from loadtests.soak.sampling import Sample

PATIENCE = 10.0
MOST_CONNECTIONS_PER_LOOP = 20
# How often it is looked again whether the server has calmed down.
PAUSE = 1.0
# How often every loop is asked for something while it is waited for. Threads that streamed a body end when they have
# been idle for ten seconds and another body is streamed.
BETWEEN_TOUCHES = 12.0


def touch(port: int, loops: int) -> None:
    """Has every loop stream a little, so that it has the thread that it keeps for that.

    Connections are opened, and kept, until all loops have answered; after too many it is given up.
    """
    origins: set[str] = set()
    with ExitStack() as stack, suppress(OSError, http.client.HTTPException):
        for _ in range(loops * MOST_CONNECTIONS_PER_LOOP):
            connection = stack.enter_context(closing(http.client.HTTPConnection(HOST, port, timeout=PATIENCE)))
            connection.request("GET", "/stream?lines=1")
            response = connection.getresponse()
            origins.add(response.getheader(SERVED_BY, ""))
            response.read()
            if len(origins) >= loops:
                return


def left_over(before: Sample, after: Sample, workers: int) -> list[str]:
    """What processes have kept of the load, one line each; a worker is compared with the largest that there was."""
    lines = [] if len(after.workers) == workers else [f"there are {len(after.workers)} workers instead of {workers}"]
    for usage in after.processes:
        alike = [each for each in before.processes if each.is_worker == usage.is_worker]
        lines += [
            f"{'worker' if usage.is_worker else 'supervisor'} {usage.pid} has {has} {unit} with nobody connected, "
            f"before the load there were at most {most}"
            for unit in ("descriptors", "threads")
            if (has := getattr(usage, unit)) > (most := max((getattr(each, unit) for each in alike), default=0))
        ]
    return lines


def settled(pid: int, port: int, before: Sample, plan: Plan, seconds: float) -> tuple[Sample, list[str]]:
    """Waits until nothing is left over, so long at most; returns what there is then, and what is left over."""
    deadline = time.monotonic() + seconds
    touch_at = time.monotonic()
    while True:
        if time.monotonic() >= touch_at:
            touch(port, plan.loops)
            touch_at = time.monotonic() + BETWEEN_TOUCHES
        time.sleep(PAUSE)
        after = sampling.take(pid)
        lines = left_over(before, after, plan.workers)
        if not lines or time.monotonic() > deadline:
            return after, lines


def not_replaced(events: Sequence[Event], after: Sample) -> list[str]:
    """Workers that SIGHUP was to replace and that are still there, one line each."""
    due = {pid for event in events for pid in event.replaced}
    return [f"worker {usage.pid} has outlived a SIGHUP" for usage in after.workers if usage.pid in due]
