"""What a server has kept of a load, when nobody is connected any more."""

import time

from loadtests.soak import sampling
from loadtests.soak.sampling import DESCRIPTORS, THREADS, WORKER, Sample

PAUSE_SECONDS = 1.0


def left_over(before: Sample, after: Sample) -> list[str]:
    """Return a line on what each process has more than the largest of its role had before, and on lost workers."""
    workers, due = len(after.of(WORKER)), len(before.of(WORKER))
    lines = [] if workers == due else [f"there are {workers} workers instead of {due}"]
    for usage in after.processes:
        for unit in (DESCRIPTORS, THREADS):
            most = max((each.used[unit] for each in before.of(usage.role)), default=0)
            if usage.used[unit] > most:
                has = f"{usage.role} {usage.pid} has {usage.used[unit]:.0f} {unit} with nobody connected"
                lines.append(f"{has}, before the load there were at most {most:.0f}")
    return lines


def settled(pid: int, before: Sample, seconds: float) -> tuple[Sample, list[str]]:
    """Wait until nothing is left over, so long at most; return what there is then, and what is left over."""
    deadline = time.monotonic() + seconds
    while (lines := left_over(before, after := sampling.take(pid))) and time.monotonic() < deadline:
        time.sleep(PAUSE_SECONDS)
    return after, lines
