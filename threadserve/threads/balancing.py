"""The balancer: decides when loops return connections, because one of them stalls or has more load than the others.

Belongs to the acceptor's thread. It reads what the loops publish about themselves and grants them credit to return
connections; it touches no connection.
"""

import time
from collections.abc import Sequence
from math import ceil, inf
from typing import Protocol

from threadserve.threads.handover import HandoverQueue, find_stalled
from threadserve.threads.thread_times import CpuTimes, ThreadTimes

# How often the loops are checked for stalls, while there are requests.
STALL_CHECK_SECONDS = 0.05
# A loop is stalled if it has not woken up for so long, although its thread could run, while other loops have.
STALLED_SECONDS = 0.02
# For how long the loops return connections at once after one has been stalled.
STALL_MEMORY_SECONDS = 5.0
# How often the loops' loads are compared and credit is granted.
CREDIT_TICK_SECONDS = 0.25
# How many connections a loop may return within a tick, so that returning them never is most of its work. It may return
# none if threads wait for processors half of the time.
MAX_CREDIT = 500
MAX_WAITING_SHARE = 0.5
# A loop returns connections if it runs for more than so many times the mean, and for such a share of the time more.
IMBALANCE_FACTOR = 1.1
IMBALANCE_SHARE = 0.005
# If that does not help, because a single connection may be too busy, it is tried again after pauses that double.
MAX_RETRY_PAUSE_SECONDS = 16.0
IMPROVEMENT_FACTOR = 0.95


class BalancedLoop(Protocol):
    """A loop as the balancer sees it. `thread_id` is the native id of its thread."""

    handover: HandoverQueue
    thread_id: int

    def load_threadsafe(self) -> tuple[int, int]:
        """Return the numbers of requests in flight and of connections."""
        ...

    def requests_threadsafe(self) -> int:
        """Return the number of requests that the loop has begun so far."""
        ...

    def request_wakeup_threadsafe(self) -> None:
        """Wake the loop, so that its handover queue shows how long that takes."""
        ...

    def grant_threadsafe(self, credit: int, *, takes_busy: bool) -> None:
        """Let the loop return `credit` connections, each after its next response."""
        ...

    def release_idle_threadsafe(self) -> None:
        """Let the loop return every idle connection."""
        ...


class LoopMonitor:
    """A loop that the balancer monitors.

    `share` has the shares of the time between the last two ticks in which the loop's thread ran, and in which it waited
    for a processor.
    """

    def __init__(self, loop: BalancedLoop) -> None:
        self.loop = loop
        self.is_granted = False
        self._cpu_times = ThreadTimes(loop.thread_id)
        self._at_tick = self._cpu_times.read()
        self._waiting_when_asked = self._at_tick.waiting
        self.share = CpuTimes(0.0, 0.0)

    def is_stalled(self, now: float) -> bool:
        """Return whether a wake-up has been pending for long, although the system let the loop's thread run."""
        pending = self.loop.handover.pending_seconds(now)
        if pending <= STALLED_SECONDS:
            return False
        return pending - (self._cpu_times.read().waiting - self._waiting_when_asked) > STALLED_SECONDS

    def request_wakeup(self) -> None:
        """Request a wake-up unless one is pending."""
        if not self.loop.handover.is_wakeup_pending():
            self._waiting_when_asked = self._cpu_times.read().waiting
            self.loop.request_wakeup_threadsafe()

    def tick(self, seconds: float) -> None:
        """Update `share`; `seconds` have passed since the last tick."""
        before, self._at_tick = self._at_tick, self._cpu_times.read()
        running, waiting = (max(0.0, now - then) / seconds for now, then in zip(self._at_tick, before, strict=True))
        self.share = CpuTimes(running, waiting)

    def grant(self, credit: int, *, takes_busy: bool) -> None:
        """Grant a credit that holds until the next tick."""
        if credit or self.is_granted:
            self.loop.grant_threadsafe(credit, takes_busy=takes_busy)
        self.is_granted = credit > 0

    def close(self) -> None:
        """Close the file with the thread's times."""
        self._cpu_times.close()


class Balancer:
    """Balances the loops of a process. `busier` are the loops that get no returned connections at the moment.

    `next_check` is when `check` has something to do, in seconds of `time.monotonic`.
    """

    def __init__(self) -> None:
        self.busier: list[BalancedLoop] = []
        self.next_check = 0.0
        self._next_tick = 0.0
        self._ticked_at = 0.0
        self._active_until = 0.0
        self._stalled_until = 0.0
        self._requests = 0
        self._imbalance = inf
        self._pause = CREDIT_TICK_SECONDS
        self._retry_at = 0.0
        self._monitors: dict[BalancedLoop, LoopMonitor] = {}

    def check(self, loops: Sequence[BalancedLoop]) -> None:
        """Check the loops for stalls and imbalance, if it is time for that."""
        now = time.monotonic()
        if now < self.next_check:
            return
        self._update_monitors(loops)
        self._check_for_requests(loops, now)
        is_active = now < self._active_until
        self.next_check = now + (STALL_CHECK_SECONDS if is_active else CREDIT_TICK_SECONDS)
        if is_active or any(loop.load_threadsafe()[0] for loop in loops):
            self._check_for_stalls(loops, now)
        if now >= self._next_tick:
            self._next_tick = now + CREDIT_TICK_SECONDS
            self._grant_credit(now)

    def close(self) -> None:
        """Stop monitoring the loops."""
        self._update_monitors(())

    def _update_monitors(self, loops: Sequence[BalancedLoop]) -> None:
        """Monitor exactly these loops."""
        if list(self._monitors) == list(loops):
            return
        before, self._monitors = self._monitors, {loop: self._monitors.get(loop) or LoopMonitor(loop) for loop in loops}
        for loop, monitor in before.items():
            if loop not in self._monitors:
                monitor.close()

    def _check_for_requests(self, loops: Sequence[BalancedLoop], now: float) -> None:
        requests = sum(loop.requests_threadsafe() for loop in loops)
        if requests != self._requests:
            self._requests = requests
            self._active_until = now + 2 * CREDIT_TICK_SECONDS

    def _check_for_stalls(self, loops: Sequence[BalancedLoop], now: float) -> None:
        if any(self._monitors[loop].is_stalled(now) for loop in find_stalled(loops)):
            if now >= self._stalled_until:
                for loop in loops:
                    loop.release_idle_threadsafe()
                self._next_tick = now
            self._stalled_until = now + STALL_MEMORY_SECONDS
        for monitor in self._monitors.values():
            monitor.request_wakeup()

    def _grant_credit(self, now: float) -> None:
        """Grant each loop its credit until the next tick."""
        monitors = list(self._monitors.values())
        for monitor in monitors:
            monitor.tick(now - self._ticked_at)
        self._ticked_at = now
        self.busier = []
        if now < self._stalled_until:
            for monitor in monitors:
                monitor.grant(
                    round(MAX_CREDIT * max(0.0, 1 - monitor.share.waiting / MAX_WAITING_SHARE)), takes_busy=False
                )
        else:
            self._even_out_load(monitors, now)

    def _even_out_load(self, monitors: list[LoopMonitor], now: float) -> None:
        """Let loops with too much load return half of the excess, unless that has not helped lately."""
        mean = sum(monitor.share.running for monitor in monitors) / len(monitors)
        limit = max(IMBALANCE_FACTOR * mean, mean + IMBALANCE_SHARE)
        most = max(monitor.share.running for monitor in monitors)
        is_due = most > limit and now >= self._retry_at
        for monitor in monitors:
            monitor.grant(
                count_surplus(monitor, mean) if is_due and monitor.share.running > limit else 0, takes_busy=True
            )
        if any(monitor.is_granted for monitor in monitors):
            self.busier = [monitor.loop for monitor in monitors if monitor.share.running > mean]
            before, self._imbalance = self._imbalance, most / mean
            has_helped = self._imbalance < IMPROVEMENT_FACTOR * before
            self._pause = CREDIT_TICK_SECONDS if has_helped else min(2 * self._pause, MAX_RETRY_PAUSE_SECONDS)
            self._retry_at = now + self._pause
        elif most <= limit:
            self._imbalance, self._pause, self._retry_at = inf, CREDIT_TICK_SECONDS, now


def count_surplus(monitor: LoopMonitor, mean: float) -> int:
    """Return how many connections a loop returns that runs for more than the mean share.

    The busiest connections go first: they are the first to complete a response. A single connection stays: it would
    load another loop just as much.
    """
    connections = monitor.loop.load_threadsafe()[1]
    excess = (monitor.share.running - mean) / monitor.share.running
    return ceil(excess * connections / 2) if connections > 1 else 0
