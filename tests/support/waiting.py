"""Waiting for something with a deadline. Every wait in the tests is bounded by one of these."""

import time
from collections.abc import Callable

DEADLINE = 30.0


def wait_until(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
    """Returns as soon as `condition` holds; raises TimeoutError naming `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        # Asked before the last look: whoever is not run for so long still looks once more.
        is_late = time.monotonic() > end
        if condition():
            return
        if is_late:
            raise TimeoutError(f"waited {deadline} s for {what}")
        time.sleep(0.002)
