"""Where threads wait for one another.

The twin, in Python, of `parking.pyx`. A `Parking` belongs to the thread that sleeps, and any other may wake it; a
`Mutex` belongs to what it guards.
"""

import threading
from queue import SimpleQueue


class Parking:
    """One thread's place. It is woken once for each time that it sleeps, before or after it has fallen asleep."""

    __slots__ = ("_wakes",)

    def __init__(self) -> None:
        # A lock would do, but waiting for one begins with turns of polling on free-threaded builds.
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def sleep(self) -> None:
        """Waits to be woken."""
        self._wakes.get()

    def wake_threadsafe(self) -> None:
        """Wakes the thread."""
        self._wakes.put(None)


class Mutex:
    """A lock that is held for a few lines, and by one thread once. `lock` and `unlock` are for where `with` takes too
    long.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def lock(self) -> None:
        """Waits until no other thread has it."""
        self._lock.acquire()

    def unlock(self) -> None:
        """Lets another thread have it."""
        self._lock.release()

    def __enter__(self) -> None:
        self.lock()

    def __exit__(self, *failure: object) -> None:
        self.unlock()
