"""The record of the clients of a soak."""

import threading
import time
from collections import Counter
from typing import Any


class Record:
    """Answers, misdeeds and failures of the users, by kind. Their threads share it, and its lock."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.misdeeds: Counter[str] = Counter()
        self.failures: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def count(self, counts: Counter[str], kind: str) -> None:
        """Count one answer or misdeed."""
        with self._lock:
            counts[kind] += 1

    def fail(self, who: str, error: Exception, served_by: str = "") -> None:
        """Add a failure, in seconds since the epoch, with the process and the thread that it befell as far as known."""
        what = f"{type(error).__name__}: {error}"
        self.failures.append({"time": time.time(), "who": who, "what": what, "served_by": served_by})
