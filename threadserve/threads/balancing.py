"""When loops are to give back connections: because one of them stalls, or because one has more to do than the others.

Runs on the acceptor's thread, which owns the balancer. It reads what the loops publish about themselves and grants them
credit; it touches no connection.
"""

import time
from collections.abc import Sequence
from math import ceil, inf
from typing import Protocol

from threadserve.threads.distribution import HandOver, stalled
from threadserve.threads.thread_times import Spent, ThreadTimes

# How often, in seconds, it is looked whether loops turn, while there is anything to serve.
LOOK = 0.05
# A loop is stalled that has not turned for so long, in seconds, though it could run, while others have.
STALLED = 0.02
# For how long, in seconds, the loops give back their connections at once after one has been stalled.
REMEMBERED = 5.0
# How often, in seconds, the loops' loads are compared and credit is granted.
TICK = 0.25
# How many connections a loop may give back at once within a tick, so that the way back never is most of its work. Where
# threads wait for processors half of the time, it may none.
CREDIT = 500
CROWDED = 0.5
# A loop that is so much busier than the mean, in times and in shares of a processor, gives connections to the others.
UNEVEN = 1.1
UNEVEN_SHARE = 0.005
# Where that does not help, for one connection alone may be too busy, it is tried again after pauses that double, up to
# so many seconds.
LONGEST_PAUSE = 16.0
HELPED = 0.95


class Balanced(Protocol):
    """A loop, as far as the balancer sees it. `thread_id` is the native one of its thread."""

    handed: HandOver
    thread_id: int

    def load_threadsafe(self) -> tuple[int, int]:
        """Requests in flight and connections."""
        ...

    def requests_threadsafe(self) -> int:
        """How many requests the loop has taken up so far."""
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


class Watched:
    """A loop that the balancer looks after, and what it has seen of it."""

    def __init__(self, loop: Balanced) -> None:
        self.loop = loop
        self.is_granted = False
        self._times = ThreadTimes(loop.thread_id)
        self._at_tick = self._times.look()
        self._waiting_when_asked = self._at_tick.waiting
        # Of the time between the last two ticks, what the thread has run, and what it has waited for a processor.
        self.share = Spent(0.0, 0.0)

    def is_stalled(self, now: float) -> bool:
        """Whether it owes a turn for long, though the system has had its thread run."""
        owed = self.loop.handed.owed(now)
        return owed > STALLED and owed - (self._times.look().waiting - self._waiting_when_asked) > STALLED

    def ask_for_turn(self) -> None:
        """Has it show that it turns."""
        if not self.loop.handed.owes_turn():
            self._waiting_when_asked = self._times.look().waiting
            self.loop.ask_for_turn_threadsafe()

    def tick(self, seconds: float) -> None:
        """So many seconds have passed since the last tick."""
        before, self._at_tick = self._at_tick, self._times.look()
        running, waiting = (max(0.0, now - then) / seconds for now, then in zip(self._at_tick, before, strict=True))
        self.share = Spent(running, waiting)

    def grant(self, credit: int, *, takes_busy: bool) -> None:
        """Grants it so much until the next tick."""
        if credit or self.is_granted:
            self.loop.grant_threadsafe(credit, takes_busy=takes_busy)
        self.is_granted = credit > 0

    def close(self) -> None:
        """Looks after it no more."""
        self._times.close()


class Balancer:
    """Looks after the loops of a process. `busier` are those that are not to get what others have given back."""

    def __init__(self) -> None:
        self.busier: list[Balanced] = []
        # In the seconds of `time.monotonic`.
        self.next_look = 0.0
        self._next_tick = 0.0
        self._ticked_at = 0.0
        self._active_until = 0.0
        self._stalled_until = 0.0
        self._requests = 0
        self._uneven = inf
        self._pause = TICK
        self._even_at = 0.0
        self._watched: dict[Balanced, Watched] = {}

    def look(self, loops: Sequence[Balanced]) -> None:
        """Looks at the loops, if it is time for that."""
        now = time.monotonic()
        if now < self.next_look:
            return
        self._watch(loops)
        self._notice_requests(loops, now)
        is_active = now < self._active_until
        self.next_look = now + (LOOK if is_active else TICK)
        if is_active or any(loop.load_threadsafe()[0] for loop in loops):
            self._look_for_stalls(loops, now)
        if now >= self._next_tick:
            self._next_tick = now + TICK
            self._grant(now)

    def close(self) -> None:
        """Looks after no loop any more."""
        self._watch(())

    def _watch(self, loops: Sequence[Balanced]) -> None:
        """Has those watched that there are now."""
        if list(self._watched) == list(loops):
            return
        before, self._watched = self._watched, {loop: self._watched.get(loop) or Watched(loop) for loop in loops}
        for loop, watched in before.items():
            if loop not in self._watched:
                watched.close()

    def _notice_requests(self, loops: Sequence[Balanced], now: float) -> None:
        requests = sum(loop.requests_threadsafe() for loop in loops)
        if requests != self._requests:
            self._requests = requests
            self._active_until = now + 2 * TICK

    def _look_for_stalls(self, loops: Sequence[Balanced], now: float) -> None:
        if any(self._watched[loop].is_stalled(now) for loop in stalled(loops)):
            if now >= self._stalled_until:
                for loop in loops:
                    loop.release_idle_threadsafe()
                self._next_tick = now
            self._stalled_until = now + REMEMBERED
        for watched in self._watched.values():
            watched.ask_for_turn()

    def _grant(self, now: float) -> None:
        """Says for the next tick which loops give back connections at once, and how many."""
        watched = list(self._watched.values())
        for each in watched:
            each.tick(now - self._ticked_at)
        self._ticked_at = now
        self.busier = []
        if now < self._stalled_until:
            for each in watched:
                each.grant(round(CREDIT * max(0.0, 1 - each.share.waiting / CROWDED)), takes_busy=False)
        else:
            self._even_out(watched, now)

    def _even_out(self, watched: list[Watched], now: float) -> None:
        """Has loops that have too much give half of that away, unless that has not helped lately."""
        mean = sum(each.share.running for each in watched) / len(watched)
        limit = max(UNEVEN * mean, mean + UNEVEN_SHARE)
        most = max(each.share.running for each in watched)
        is_due = most > limit and now >= self._even_at
        for each in watched:
            each.grant(surplus(each, mean) if is_due and each.share.running > limit else 0, takes_busy=True)
        if any(each.is_granted for each in watched):
            self.busier = [each.loop for each in watched if each.share.running > mean]
            uneven, self._uneven = self._uneven, most / mean
            self._pause = TICK if self._uneven < HELPED * uneven else min(2 * self._pause, LONGEST_PAUSE)
            self._even_at = now + self._pause
        elif most <= limit:
            self._uneven, self._pause, self._even_at = inf, TICK, now


def surplus(watched: Watched, mean: float) -> int:
    """How many connections a loop gives away that runs for more than the mean share.

    The busiest go first: they are the first to come to the end of a response. The only one goes nowhere, where it would
    be as much.
    """
    connections = watched.loop.load_threadsafe()[1]
    excess = (watched.share.running - mean) / watched.share.running
    return ceil(excess * connections / 2) if connections > 1 else 0
