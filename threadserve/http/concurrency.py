"""The one thing that requests on different threads share, and only when `--limit-concurrency` is set.

Any thread calls it. `ConcurrencyLimit` owns its count and guards it by its own lock, held for a comparison and an
addition; it never waits for anything else.
"""

import threading


class ConcurrencyLimit:
    """Admits at most `limit` requests at once, over all threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._admitted = 0
        self._admission_lock = threading.Lock()

    def acquire_threadsafe(self) -> bool:
        """Return whether a request is admitted. One that is has to call `release_threadsafe` once."""
        with self._admission_lock:
            admitted = self._admitted < self._limit
            self._admitted += admitted
            return admitted

    def release_threadsafe(self) -> None:
        """Count an admitted request out."""
        with self._admission_lock:
            self._admitted -= 1
