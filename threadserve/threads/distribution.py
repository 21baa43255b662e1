"""The choice of a loop thread for a new connection.

Belongs to the acceptor's thread, which owns the distributor. It reads what the loops publish about themselves, and
changes nothing.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar


class HasLoad(Protocol):
    """A loop as the distributor sees it."""

    def load_threadsafe(self) -> tuple[int, int]:
        """Return the numbers of requests in flight and of connections; both include those in the handover queue."""
        ...


T = TypeVar("T", bound=HasLoad)


class RoundRobin:
    """Chooses the loops in turn."""

    def __init__(self) -> None:
        self._turn = 0

    def __call__(self, targets: Sequence[T]) -> T:
        """Return the next loop."""
        turn, self._turn = self._turn, self._turn + 1
        return targets[turn % len(targets)]


class LeastBusy:
    """Chooses the loop with the fewest requests in flight, then with the fewest connections, then in turn."""

    def __init__(self) -> None:
        self._turns = RoundRobin()

    def __call__(self, targets: Sequence[T]) -> T:
        """Return the least busy loop."""
        loads = [target.load_threadsafe() for target in targets]
        least = min(loads)
        return self._turns([target for target, load in zip(targets, loads, strict=True) if load == least])


def make_distributor(distribute: str) -> Callable[[Sequence[T]], T]:
    """Return the function that chooses a loop, by the setting `distribute`."""
    return RoundRobin() if distribute == "round-robin" else LeastBusy()
