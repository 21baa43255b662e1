"""The locks of the pool's threads.

The Python form of `locks.pyx`. Any thread may release a `Semaphore`; one thread waits for it. A `Mutex` belongs to the
object that it guards.
"""

import threading
from queue import SimpleQueue


class Semaphore:
    """A counting semaphore, 0 at first, on which one thread waits; each release ends one wait, sooner or later."""

    __slots__ = ("_permits",)

    def __init__(self) -> None:
        # Waiting for a lock begins with rounds of polling on free-threaded builds; waiting for a queue does not.
        self._permits: SimpleQueue[None] = SimpleQueue()

    def acquire(self) -> None:
        """Wait for a release."""
        self._permits.get()

    def release_threadsafe(self) -> None:
        """Release the semaphore, which ends one wait."""
        self._permits.put(None)


class Mutex:
    """A mutual exclusion lock, not reentrant, held for a few lines.

    `lock` and `unlock` serve where a `with` block would take too long.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def lock(self) -> None:
        """Acquire the lock, waiting until no other thread has it."""
        self._lock.acquire()

    def unlock(self) -> None:
        """Release the lock."""
        self._lock.release()

    def __enter__(self) -> None:
        self.lock()

    def __exit__(self, *failure: object) -> None:
        self.unlock()
