"""The limits at which a process ends or is replaced, and the memory that it uses.

Runs on the server's thread. It keeps the limits of one run, and never stops anything itself.
"""

import logging
import os
import random
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

logger = logging.getLogger("threadserve.error")

STATM = Path("/proc/self/statm")
# Seven numbers of 20 digits at most.
STATM_BYTES = 160


class ProcessLimitSettings(Protocol):
    """The settings that limit a process."""

    limit_max_requests: int | None
    limit_max_requests_jitter: int
    limit_max_memory: int | None


class ProcessLimits:
    """The limits of one process. `requests` is the number that it may take up, with its jitter; 0 is no limit."""

    def __init__(self, settings: ProcessLimitSettings, count_requests: Callable[[], int]) -> None:
        self.requests = add_jitter(settings.limit_max_requests, settings.limit_max_requests_jitter)
        self._memory = settings.limit_max_memory
        self._count_requests = count_requests
        self._is_reached = False

    def check(self, *, with_memory: bool) -> bool:
        """Return whether a limit is reached. It stays so, and is logged once."""
        self._is_reached = self._is_reached or self._check(with_memory)
        return self._is_reached

    def _check(self, with_memory: bool) -> bool:
        if self.requests and self._count_requests() >= self.requests:
            logger.warning("Maximum request limit of %d exceeded. Terminating process.", self.requests)
            return True
        if with_memory and self._memory and (used := read_resident_bytes()) > self._memory:
            logger.warning("Memory limit of %d bytes exceeded: %d in use. Terminating process.", self._memory, used)
            return True
        return False


def add_jitter(limit: int | None, jitter: int) -> int:
    """Return a limit that differs from process to process, so that not all of them reach it at once; 0 for none."""
    return limit + random.randint(0, jitter) if limit else 0


def read_resident_bytes() -> int:
    """Return the size of the process's resident set, or its maximum so far where the system tells no more."""
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
