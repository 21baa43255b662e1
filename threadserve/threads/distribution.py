"""Which loop thread gets a new connection.

Runs on the acceptor's thread, which owns the chooser; it only reads what the loops publish about themselves.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from socket import socket
from typing import Protocol, TypeVar

# How long, in seconds, a loop may leave a connection lying before it is given to another.
STALL = 0.005
# Where loops are busy: so many times as long as the quickest of them takes, and no longer than this.
STALL_TURNS = 4
LONGEST_STALL = 0.25


class HandOver:
    """Accepted connections on their way to one loop.

    The acceptor's thread gives and takes back, the loop's thread takes, in turns, and gives back what it has not begun
    with when it ends. A `deque` appends and pops safely from both ends on both kinds of build, so no lock is needed;
    `_turns` and `_waits` are written by the loop's thread alone, `_given_at` and `_given_in_turn` by the acceptor's.
    """

    __slots__ = ("_given_at", "_given_in_turn", "_turns", "_waiting", "_waits")

    def __init__(self) -> None:
        self._waiting: deque[socket] = deque()
        self._turns = 0
        # How long the last two turns were owed. A short one may be luck: the loop was just about to turn.
        self._waits = (0.0, 0.0)
        self._given_at = 0.0
        self._given_in_turn = -1

    def __len__(self) -> int:
        return len(self._waiting)

    def give(self, connection: socket) -> None:
        """Adds a connection, for which the loop owes a turn."""
        self.ask()
        self._waiting.append(connection)

    def ask(self) -> None:
        """The loop owes a turn, though it is given nothing."""
        turns = self._turns
        if turns != self._given_in_turn:
            # In this order: the loop looks at the time once it sees that a turn is owed.
            self._given_at = time.monotonic()
            self._given_in_turn = turns

    def begin_turn(self) -> None:
        """The loop is about to take what there is."""
        if self._turns == self._given_in_turn:
            self._waits = self._waits[1], time.monotonic() - self._given_at
        self._turns += 1

    def take(self) -> socket | None:
        """Returns the connection that has waited longest, if there is one."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def give_back(self, connections: Iterable[socket]) -> None:
        """The loop ends, and leaves these to others."""
        self._waiting.extend(connections)

    def take_all(self) -> list[socket]:
        """Returns all the connections that nobody has taken."""
        taken: list[socket] = []
        while self._waiting:
            connection = self.take()
            if connection is not None:
                taken.append(connection)
        return taken

    def take_back(self, connection: socket) -> bool:
        """Returns whether a connection that was given is still here, and then no longer."""
        try:
            self._waiting.remove(connection)
        except ValueError:
            return False
        return True

    def owes_turn(self) -> bool:
        """Whether the loop has had no turn since it was given something, even if that was taken back."""
        return self._turns == self._given_in_turn or bool(self._waiting)

    def owed(self, now: float) -> float:
        """For how long the loop has owed a turn."""
        return now - self._given_at if self.owes_turn() else 0.0

    def slowness(self, now: float) -> float:
        """How long the loop takes to have a turn, by what it did lately and what it owes."""
        return max(*self._waits, self.owed(now))


class Taker(Protocol):
    """A loop, as far as connections are on their way to it."""

    handed: HandOver


K = TypeVar("K", bound=Taker)


def stalled(takers: Sequence[K]) -> list[K]:
    """The loops that leave connections lying for far longer than the quickest of them does.

    Where all of them are busy, each takes long to have a turn, and none is stalled.
    """
    now = time.monotonic()
    owed = [taker.handed.owed(now) for taker in takers]
    if not owed or max(owed) <= STALL:
        return []
    usual = min(taker.handed.slowness(now) for taker in takers)
    patience = max(STALL, min(STALL_TURNS * usual, LONGEST_STALL))
    return [taker for taker, seconds in zip(takers, owed, strict=True) if seconds > patience]


def all_late(takers: Sequence[Taker]) -> bool:
    """Whether whatever any of these loops is given lies there for a while."""
    now = time.monotonic()
    return all(taker.handed.owed(now) > STALL for taker in takers)


class Target(Protocol):
    """A loop, as far as the choice is concerned."""

    def load_threadsafe(self) -> tuple[int, int]:
        """Requests in flight and connections; both include the connections that are on their way to the loop."""
        ...


T = TypeVar("T", bound=Target)


class RoundRobin:
    """The loops in turn."""

    def __init__(self) -> None:
        self._turn = 0

    def __call__(self, targets: Sequence[T]) -> T:
        """The next loop."""
        turn, self._turn = self._turn, self._turn + 1
        return targets[turn % len(targets)]


class LeastBusy:
    """The loop with the fewest requests in flight, among those one with the fewest connections, and those in turn."""

    def __init__(self) -> None:
        self._turns = RoundRobin()

    def __call__(self, targets: Sequence[T]) -> T:
        """The least busy loop."""
        loads = [target.load_threadsafe() for target in targets]
        least = min(loads)
        return self._turns([target for target, load in zip(targets, loads, strict=True) if load == least])


def chooser(distribute: str) -> Callable[[Sequence[T]], T]:
    """How the acceptor chooses, by the name in the configuration."""
    return RoundRobin() if distribute == "round-robin" else LeastBusy()
