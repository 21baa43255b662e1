"""When loops are to give back connections: because one of them stalls, or because one has more to do than the others.

Runs on the acceptor's thread, which owns the balancer. It reads what the loops publish about themselves and grants them
credit; it touches no connection.
"""

import time
from collections.abc import Sequence
from typing import Protocol

from threadserve.threads.distribution import HandOver, stalled

# How often, in seconds, it is looked whether loops turn, while there is anything to serve.
LOOK = 0.05
# A loop is stalled that has not turned for so long, in seconds, while others have.
STALLED = 0.02
# For how long, in seconds, the loops give back their connections at once after one has been stalled.
REMEMBERED = 5.0
# How often, in seconds, the loops' loads are compared and credit is granted.
TICK = 0.25
# How many connections a loop may give back at once within a tick, so that the way back never is most of its work.
CREDIT = 500
# A loop that is so much busier than the mean, in times and in shares of a processor, gives connections to the others.
UNEVEN = 1.1
UNEVEN_SHARE = 0.001


class Balanced(Protocol):
    """A loop, as far as the balancer sees it."""

    handed: HandOver

    def load_threadsafe(self) -> tuple[int, int]:
        """Requests in flight and connections."""
        ...

    def requests_threadsafe(self) -> int:
        """How many requests the loop has taken up so far."""
        ...

    def cpu_seconds_threadsafe(self) -> float:
        """How much of a processor's time the loop has taken so far, in seconds."""
        ...

    def ask_for_turn_threadsafe(self) -> None:
        """Has the loop show that it turns, by its `handed`."""
        ...

    def grant_threadsafe(self, credit: int, *, takes_busy: bool) -> None:
        """Has so many connections given back, each after its next response."""
        ...

    def release_idle_threadsafe(self) -> None:
        """Has every idle connection given back."""
        ...


class Balancer:
    """Looks after the loops of a process. `busier` are those that are not to get what others have given back."""

    def __init__(self) -> None:
        self.busier: list[Balanced] = []
        # In the seconds of `time.monotonic`.
        self.next_look = 0.0
        self._next_tick = 0.0
        self._active_until = 0.0
        self._stalled_until = 0.0
        self._requests = 0
        self._granted: list[Balanced] = []
        self._cpu_seconds: dict[Balanced, float] = {}
        self._ticked_at = 0.0

    def look(self, loops: Sequence[Balanced]) -> None:
        """Looks at the loops, if it is time for that."""
        now = time.monotonic()
        if now < self.next_look:
            return
        self._notice_requests(loops, now)
        is_active = now < self._active_until
        self.next_look = now + (LOOK if is_active else TICK)
        if is_active or any(loop.load_threadsafe()[0] for loop in loops):
            self._look_for_stalls(loops, now)
        if now >= self._next_tick:
            self._next_tick = now + TICK
            self._grant(loops, now)

    def _notice_requests(self, loops: Sequence[Balanced], now: float) -> None:
        requests = sum(loop.requests_threadsafe() for loop in loops)
        if requests != self._requests:
            self._requests = requests
            self._active_until = now + 2 * TICK

    def _look_for_stalls(self, loops: Sequence[Balanced], now: float) -> None:
        if any(loop.handed.owed(now) > STALLED for loop in stalled(loops)):
            if now >= self._stalled_until:
                for loop in loops:
                    loop.release_idle_threadsafe()
                self._next_tick = now
            self._stalled_until = now + REMEMBERED
        for loop in loops:
            if not loop.handed.owes_turn():
                loop.ask_for_turn_threadsafe()

    def _grant(self, loops: Sequence[Balanced], now: float) -> None:
        """Says for the next tick which loops give back connections at once, and how many."""
        shares = self._shares(loops, now)
        has_stalled = now < self._stalled_until
        credits = [CREDIT] * len(loops) if has_stalled else evening_credits(loops, shares)
        is_uneven = any(credits) and not has_stalled
        mean = sum(shares) / len(loops)
        self.busier = [loop for loop, share in zip(loops, shares, strict=True) if is_uneven and share > mean]
        before, self._granted = self._granted, []
        for loop, credit in zip(loops, credits, strict=True):
            if credit:
                self._granted.append(loop)
            if credit or loop in before:
                loop.grant_threadsafe(credit, takes_busy=not has_stalled)

    def _shares(self, loops: Sequence[Balanced], now: float) -> list[float]:
        """Of a processor's time, what each loop has taken since this was asked last."""
        before, self._cpu_seconds = self._cpu_seconds, {loop: loop.cpu_seconds_threadsafe() for loop in loops}
        seconds = now - self._ticked_at
        self._ticked_at = now
        return [max(0.0, taken - before.get(loop, taken)) / seconds for loop, taken in self._cpu_seconds.items()]


def evening_credits(loops: Sequence[Balanced], shares: list[float]) -> list[int]:
    """How many connections each loop gives to others, so that all have as much to do.

    Half of what it has too much of: the busiest connections are the first to come to the end of a response.
    """
    mean = sum(shares) / len(shares)
    limit = max(UNEVEN * mean, mean + UNEVEN_SHARE)
    return [
        max(1, round((share - mean) / share * loop.load_threadsafe()[1] / 2)) if share > limit else 0
        for loop, share in zip(loops, shares, strict=True)
    ]
