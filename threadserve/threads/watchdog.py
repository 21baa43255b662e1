"""The watchdog: says which code blocks a loop, while it does.

Runs on a thread of its own. It owns what it has said of which loop, and reads the loops' pulses; it never touches
a loop, and does nothing to the thread that is blocked but have it tell where it is (see `stacks`).
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
from threadserve.threads.pulse import SHORTEST_INTERVAL, Pulse
from threadserve.threads.stacks import told_of

logger = logging.getLogger("threadserve.error")

# How often, in the time after which a stall is one, it is looked for; and in seconds, at most.
LOOKS = 4
LONGEST_PAUSE = 0.5
STALLS_KEPT = 20


class Watched(Protocol):
    """A loop. `thread` is the one that runs it, beginning with a function, and `pulse` its pulse, once it has them."""

    number: int
    thread_root: str
    pulse: Pulse | None
    thread: threading.Thread | None

    def described_threadsafe(self) -> list[str]:
        """The requests in flight, as the log calls them."""
        ...


@dataclass
class Current:
    """A stall that goes on: which beat has not come, and what was said of it."""

    due: float
    seen: float
    place: str


class Watchdog:
    """Watches loops from `start` to `stop`.

    `timeout` is for how many seconds a loop may not turn, and `give_up_after` for how many all of them may not before
    `on_given_up` is called, or None for ever. `loops` returns those that there are. `stalls` counts, for each loop's
    number, how often it was stalled; any thread may read it in one step.
    """

    def __init__(
        self,
        loops: Callable[[], Sequence[Watched]],
        timeout: float,
        give_up_after: float | None,
        on_given_up: Callable[[], object],
    ) -> None:
        self.stalls: dict[int, int] = {}
        self._loops = loops
        self._timeout = timeout
        self._give_up_after = give_up_after
        self._on_given_up = on_given_up
        self._current: dict[Watched, Current] = {}
        self._last: tuple[Stall, ...] = ()
        self._has_stopped = threading.Event()
        self._shortest = min(timeout or inf, give_up_after or inf)
        self._pause = min(max(self._shortest / LOOKS, SHORTEST_INTERVAL), LONGEST_PAUSE)
        # In an empty context: on free-threaded builds from 3.14 on a thread inherits its starter's.
        self._thread = threading.Thread(
            target=contextvars.Context().run, args=(self._watch,), name="threadserve-watchdog", daemon=True
        )

    def start(self) -> None:
        """Starts the thread. To be called once."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, and waits for that."""
        self._has_stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def last_threadsafe(self) -> list[Stall]:
        """The last stalls, those that go on among them."""
        going_on = [Stall(loop.number, each.seen, None, each.place) for loop, each in self._current.copy().items()]
        return [*self._last, *going_on]

    def _watch(self) -> None:
        looked_at = time.monotonic()
        while not self._has_stopped.wait(self._pause):
            before, looked_at = looked_at, time.monotonic()
            if looked_at - before > self._shortest:
                # The whole process has been stopped, or the machine was: that is nobody's code.
                continue
            try:
                self._look(list(self._loops()), looked_at)
            except Exception as error:
                logger.error("The loop threads could not be looked after", exc_info=error)

    def _look(self, loops: list[Watched], now: float) -> None:
        late = {loop: now - loop.pulse.due for loop in loops if loop.pulse is not None}
        for loop, each in list(self._current.items()):
            if loop.pulse is None or loop.pulse.due != each.due:
                self._end(loop, each)
        if self._timeout:
            for loop, seconds in late.items():
                if seconds > self._timeout and loop not in self._current:
                    self._begin(loop, seconds)
        if self._give_up_after is not None and late and min(late.values()) > self._give_up_after:
            self._give_up(loops)

    def _begin(self, loop: Watched, seconds: float) -> None:
        if loop.pulse is None:
            return
        due, seen = loop.pulse.due, time.time()
        self.stalls[loop.number] = self.stalls.get(loop.number, 0) + 1
        told = told_of(loop.thread, loop.thread_root)
        if loop.pulse.due != due:
            # What was told is of something else.
            told = "it turns again: what has blocked it cannot be told."
        self._current[loop] = Current(due, seen, place_in(told))
        logger.warning("Loop thread %d has not turned for %.1f seconds, and %s", loop.number, seconds, told)

    def _end(self, loop: Watched, stall: Current) -> None:
        has_turned = loop.pulse is not None and loop.pulse.due < inf
        seconds = loop.pulse.late if has_turned and loop.pulse else time.monotonic() - stall.due
        del self._current[loop]
        # Another tuple each time: others may be reading this one.
        self._last = (*self._last, Stall(loop.number, stall.seen, seconds, stall.place))[-STALLS_KEPT:]
        logger.warning("Loop thread %d turns again, after %.1f seconds.", loop.number, seconds)

    def _give_up(self, loops: list[Watched]) -> None:
        """Every loop has been stalled for too long: says where each is, and ends the process."""
        for loop in loops:
            requests = loop.described_threadsafe()
            logger.critical(
                "Loop thread %d does not turn, with %s in flight, and %s",
                loop.number, format_count(len(requests), "request"), told_of(loop.thread, loop.thread_root),
            )  # fmt: skip
        self._on_given_up()


def place_in(told: str) -> str:
    """The innermost place in what a thread has told: file, line and function."""
    places = [line.strip() for line in told.splitlines() if line.startswith("  File ")]
    return places[-1] if places else ""
