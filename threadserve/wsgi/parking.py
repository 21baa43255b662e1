"""Where a thread sleeps until another wakes it.

The twin, in Python, of `parking.pyx`. A `Parking` belongs to the thread that sleeps; any other may wake it.
"""

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
