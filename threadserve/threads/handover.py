"""The queue of accepted connections on their way to one loop, and the measure of how fast the loop takes them.

The acceptor's thread puts connections in, the loop's thread takes them out; `HandoverQueue` says which thread writes
which of its attributes. Nobody reads from the connections.
"""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from threadserve.listening.accepted import AcceptedSocket

# How long a loop may leave a connection waiting before it is given to another.
STALL_SECONDS = 0.005
# If all loops are busy: so many times as long as the quickest of them takes, and no longer than this.
STALL_FACTOR = 4
MAX_STALL_SECONDS = 0.25


class HandoverQueue:
    """Accepted connections on their way to one loop.

    The acceptor's thread puts and withdraws. The loop's thread takes, and returns what it has not begun with when it
    ends. A `deque` appends and pops safely from both ends on both kinds of build, so no lock is needed. `_wakeups` and
    `_latencies` are written by the loop's thread alone, `_requested_at` and `_requested_in` by the acceptor's.
    """

    __slots__ = ("_latencies", "_requested_at", "_requested_in", "_waiting", "_wakeups")

    def __init__(self) -> None:
        self._waiting: deque[AcceptedSocket] = deque()
        self._wakeups = 0
        # Of the last two wake-ups. A short one may be luck: the loop was just about to wake up.
        self._latencies = (0.0, 0.0)
        self._requested_at = 0.0
        self._requested_in = -1

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, connection: AcceptedSocket) -> None:
        """Add a connection, and record that a wake-up is pending."""
        self.request_wakeup()
        self._waiting.append(connection)

    def request_wakeup(self) -> None:
        """Record that a wake-up is pending. The caller wakes the loop."""
        wakeups = self._wakeups
        if wakeups != self._requested_in:
            # In this order: the loop reads the time once it sees the request.
            self._requested_at = time.monotonic()
            self._requested_in = wakeups

    def on_wakeup(self) -> None:
        """Record that the loop has woken up and is about to take what there is."""
        if self._wakeups == self._requested_in:
            self._latencies = self._latencies[1], time.monotonic() - self._requested_at
        self._wakeups += 1

    def take(self) -> AcceptedSocket | None:
        """Return the connection that has waited longest, or None."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def return_all(self, connections: Iterable[AcceptedSocket]) -> None:
        """Put back connections that the loop has taken and not begun with, for other loops."""
        self._waiting.extend(connections)

    def take_all(self) -> list[AcceptedSocket]:
        """Return all connections that nobody has taken."""
        taken: list[AcceptedSocket] = []
        while self._waiting:
            connection = self.take()
            if connection is not None:
                taken.append(connection)
        return taken

    def withdraw(self, connection: AcceptedSocket) -> bool:
        """Take back a connection; return whether it was still here."""
        try:
            self._waiting.remove(connection)
        except ValueError:
            return False
        return True

    def is_wakeup_pending(self) -> bool:
        """Return whether the loop has not woken up since it was asked to, even if the connection was withdrawn."""
        return self._wakeups == self._requested_in or bool(self._waiting)

    def pending_seconds(self, now: float) -> float:
        """Return for how many seconds a wake-up has been pending, or 0."""
        return now - self._requested_at if self.is_wakeup_pending() else 0.0

    def wakeup_latency(self, now: float) -> float:
        """Return how many seconds the loop takes to wake up, from its last wake-ups and the pending one."""
        return max(*self._latencies, self.pending_seconds(now))


class HasHandover(Protocol):
    """A loop with a handover queue."""

    handover: HandoverQueue


L = TypeVar("L", bound=HasHandover)


def find_stalled(loops: Sequence[L]) -> list[L]:
    """Return the loops that leave connections waiting for far longer than the quickest of them does.

    If all of them are busy, each takes long to wake up, and none is stalled.
    """
    now = time.monotonic()
    pending = [loop.handover.pending_seconds(now) for loop in loops]
    if not pending or max(pending) <= STALL_SECONDS:
        return []
    quickest = min(loop.handover.wakeup_latency(now) for loop in loops)
    limit = max(STALL_SECONDS, min(STALL_FACTOR * quickest, MAX_STALL_SECONDS))
    return [loop for loop, seconds in zip(loops, pending, strict=True) if seconds > limit]


def are_all_late(loops: Sequence[HasHandover]) -> bool:
    """Return whether each of these loops would leave a connection waiting for a while."""
    now = time.monotonic()
    return all(loop.handover.pending_seconds(now) > STALL_SECONDS for loop in loops)
