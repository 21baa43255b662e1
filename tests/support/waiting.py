"""Waiting for something with a deadline. Every wait in the tests is bounded by one of these."""

import time
from collections.abc import Callable

DEADLINE = 30.0
# Between two looks, in seconds.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.002, 0.05


def wait_until(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
    """Returns as soon as `condition` holds; raises TimeoutError naming `what` after `deadline` seconds.

    A condition that is costly to ask for is asked for less often, or the asking would slow down what it waits for.
    """
    end = time.monotonic() + deadline
    while True:
        # Asked before the last look: whoever is not run for so long still looks once more.
        began = time.monotonic()
        if condition():
            return
        if began > end:
            raise TimeoutError(f"waited {deadline} s for {what}")
        time.sleep(min(max(SHORTEST_PAUSE, 4 * (time.monotonic() - began)), LONGEST_PAUSE))
