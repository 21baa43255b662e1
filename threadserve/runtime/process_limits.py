"""What a process may serve before it ends or is replaced, and the memory that it uses.

Runs on the server's thread; keeps the limits of one run and never stops anything itself.
"""

import logging
import os
import random
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from threadserve.config import Config

logger = logging.getLogger("threadserve.error")

STATM = Path("/proc/self/statm")
# Seven numbers of 20 digits at most.
STATM_BYTES = 160


class Limits:
    """The limits of one process. `requests` is how many it may take up, 0 for any number, with the jitter rolled."""

    def __init__(self, config: Config, count_requests: Callable[[], int]) -> None:
        self.requests = with_jitter(config.limit_max_requests, config.limit_max_requests_jitter)
        self._memory = config.limit_max_memory
        self._count_requests = count_requests
        self._have_been_reached = False

    def are_reached(self, *, look_at_memory: bool) -> bool:
        """Whether the process has served enough; it stays so, and is logged once."""
        self._have_been_reached = self._have_been_reached or self._look(look_at_memory)
        return self._have_been_reached

    def _look(self, at_memory: bool) -> bool:
        if self.requests and self._count_requests() >= self.requests:
            logger.warning("Maximum request limit of %d exceeded. Terminating process.", self.requests)
            return True
        if at_memory and self._memory and (used := resident_bytes()) > self._memory:
            logger.warning("Memory limit of %d bytes exceeded: %d in use. Terminating process.", self._memory, used)
            return True
        return False


def with_jitter(limit: int | None, jitter: int) -> int:
    """A limit that differs from process to process, so that not all of them reach it at once; 0 for none."""
    return limit + random.randint(0, jitter) if limit else 0


def resident_bytes() -> int:
    """The memory that the process has in use, its resident set, or where the system tells no more, the most so far."""
    with suppress(OSError):
        # Not by a file of Python's, whose buffer is closed within a lock that it takes twice: on free-threaded builds a
        # thread then lets all others have their turn first.
        descriptor = os.open(STATM, os.O_RDONLY)
        try:
            return int(os.read(descriptor, STATM_BYTES).split()[1]) * os.sysconf("SC_PAGESIZE")
        finally:
            os.close(descriptor)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
