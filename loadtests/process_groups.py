"""Process groups that end with whoever made them, however that ends."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

# Its leader: waits for the end of its input, which the system closes when the load tests have ended, and ends them all.
LEADER = ("sh", "-c", "read _; kill -KILL 0")


@contextmanager
def process_group() -> Iterator[int]:
    """Give the group's id, for processes that are started with `process_group=` and are killed at the end of the block.

    They are in it before they run, and what they start is as well. So none is left behind when an interruption comes
    while one of them is being started, nor by a SIGKILL of the load tests, and no signal of the terminal reaches them.
    """
    leader = subprocess.Popen(LEADER, stdin=subprocess.PIPE, process_group=0)
    try:
        yield leader.pid
    finally:
        # Ends its input, and waits for it.
        leader.communicate()
