"""The watchdog: logs which code blocks a loop, while it does.

Runs on a thread of its own. It owns what it knows of each stall, and reads the loops' heartbeats. It never touches a
loop, and does nothing to a blocked thread but ask it for its stack (see `stacks`).
"""

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

from threadserve.logging.wording import format_count
from threadserve.metrics.states import Stall
from threadserve.runtime.stacks import describe_thread, find_innermost_frame
from threadserve.threads.heartbeat import MIN_BEAT_INTERVAL_SECONDS, LoopHeartbeat

logger = logging.getLogger("threadserve.error")

# How often the loops are checked within the shortest timeout; and the longest pause.
CHECKS_PER_TIMEOUT = 4
MAX_CHECK_PAUSE_SECONDS = 0.5
MAX_STALLS_KEPT = 20


class WatchedLoop(Protocol):
    """A loop as the watchdog sees it: `thread` runs it, beginning with `root_function`; None until the loop is
    ready.
    """

    number: int
    root_function: str
    heartbeat: LoopHeartbeat | None
    thread: threading.Thread | None

    def format_requests_threadsafe(self) -> list[str]:
        """Return the requests in flight as the log names them."""
        ...


@dataclass
class OngoingStall:
    """A stall that goes on: the beat that has not come, when it was seen, and where the code is."""

    due: float
    seen: float
    place: str


class LoopWatchdog:
    """Watches the loops from `start` to `stop`.

    A loop is stalled if it has not turned for `timeout` seconds. If all loops have not turned for `exit_after` seconds,
    unless that is None, `on_all_stalled` is called. `loops` returns the current loops. `stall_counts` has the number of
    stalls by the loop's number; any thread may read it in one step.
    """

    def __init__(
        self,
        loops: Callable[[], Sequence[WatchedLoop]],
        timeout: float,
        exit_after: float | None,
        on_all_stalled: Callable[[], object],
    ) -> None:
        self.stall_counts: dict[int, int] = {}
        self._loops = loops
        self._timeout = timeout
        self._exit_after = exit_after
        self._on_all_stalled = on_all_stalled
        self._ongoing: dict[WatchedLoop, OngoingStall] = {}
        self._recent: tuple[Stall, ...] = ()
        self._has_stopped = threading.Event()
        self._shortest = min(timeout or inf, exit_after or inf)
        # When the whole process, or the machine, went on after a stop: the time before blocked nobody.
        self._resumed_at = -inf
        self._pause = min(max(self._shortest / CHECKS_PER_TIMEOUT, MIN_BEAT_INTERVAL_SECONDS), MAX_CHECK_PAUSE_SECONDS)
        # In an empty context: on free-threaded builds from 3.14 on a thread inherits its starter's.
        self._thread = threading.Thread(
            target=contextvars.Context().run, args=(self._watch,), name="threadserve-watchdog", daemon=True
        )

    def start(self) -> None:
        """Start the thread. To be called once."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for that."""
        self._has_stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def recent_stalls_threadsafe(self) -> list[Stall]:
        """Return the last stalls, including those that go on."""
        going_on = [Stall(loop.number, each.seen, None, each.place) for loop, each in self._ongoing.copy().items()]
        return [*self._recent, *going_on]

    def _watch(self) -> None:
        checked_at = time.monotonic()
        while not self._has_stopped.wait(self._pause):
            before, checked_at = checked_at, time.monotonic()
            if checked_at - before > self._shortest:
                self._resumed_at = checked_at
            try:
                self._check(list(self._loops()), checked_at)
            except Exception as error:
                logger.error("The loop threads could not be looked after", exc_info=error)

    def _check(self, loops: list[WatchedLoop], now: float) -> None:
        late = {loop: now - max(loop.heartbeat.due, self._resumed_at) for loop in loops if loop.heartbeat is not None}
        for loop, each in list(self._ongoing.items()):
            if loop.heartbeat is None or loop.heartbeat.due != each.due:
                self._on_stall_end(loop, each)
        if self._timeout:
            for loop, seconds in late.items():
                if seconds > self._timeout and loop not in self._ongoing:
                    self._on_stall(loop, seconds)
        if self._exit_after is not None and late and min(late.values()) > self._exit_after:
            self._on_exit_timeout(loops)

    def _on_stall(self, loop: WatchedLoop, seconds: float) -> None:
        if loop.heartbeat is None:
            return
        due, seen = loop.heartbeat.due, time.time()
        self.stall_counts[loop.number] = self.stall_counts.get(loop.number, 0) + 1
        stack = describe_thread(loop.thread, loop.root_function)
        if loop.heartbeat.due != due:
            # The stack was read after the stall.
            stack = "it turns again: what has blocked it cannot be told."
        self._ongoing[loop] = OngoingStall(due, seen, find_innermost_frame(stack))
        logger.warning("Loop thread %d has not turned for %.1f seconds, and %s", loop.number, seconds, stack)

    def _on_stall_end(self, loop: WatchedLoop, stall: OngoingStall) -> None:
        has_turned = loop.heartbeat is not None and loop.heartbeat.due < inf
        seconds = loop.heartbeat.late if has_turned and loop.heartbeat else time.monotonic() - stall.due
        del self._ongoing[loop]
        # A new tuple each time: other threads may be reading the old one.
        self._recent = (*self._recent, Stall(loop.number, stall.seen, seconds, stall.place))[-MAX_STALLS_KEPT:]
        logger.warning("Loop thread %d turns again, after %.1f seconds.", loop.number, seconds)

    def _on_exit_timeout(self, loops: list[WatchedLoop]) -> None:
        """Log where each loop is, as all of them have been stalled for too long, and end the process."""
        for loop in loops:
            requests = loop.format_requests_threadsafe()
            logger.critical(
                "Loop thread %d does not turn, with %s in flight, and %s",
                loop.number, format_count(len(requests), "request"), describe_thread(loop.thread, loop.root_function),
            )  # fmt: skip
        self._on_all_stalled()
