"""Ends a check whose application does not come to an end with something, and says where it is.

Has a thread of its own in the process that checks. Loops' threads tell it of each stage that they begin with, and where
they are if one takes too long: nobody else reads their frames.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from threadserve.check.dry_run import InstanceRun
from threadserve.check.findings import Finding, Level, SourceLocation
from threadserve.check.source_locations import locate_in_text, locate_task
from threadserve.logging.wording import format_count
from threadserve.threads.stacks import told_of

# For how long, in seconds, a loop is waited for to say what waits there.
TASK_LOCATION_SECONDS = 0.5


class StageWatchdog:
    """Calls `on_late` on its own thread, once, with a finding, when a stage takes longer than `limit` seconds."""

    def __init__(self, limit: float, on_late: Callable[[Finding], object]) -> None:
        self._limit = limit
        self._on_late = on_late
        self._changed = threading.Condition()
        """Guards what is watched, and its deadline."""
        self._watched: InstanceRun | None = None
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._watch, name="threadserve-check", daemon=True)

    def start(self) -> None:
        """Starts the thread. To be called once."""
        self._thread.start()

    def stop(self) -> None:
        """Watches nothing any more."""
        with self._changed:
            self._watched, self._deadline = None, float("inf")

    def on_stage_threadsafe(self, performance: InstanceRun) -> None:
        """Gives a stage that has begun its time."""
        with self._changed:
            self._watched, self._deadline = performance, time.monotonic() + self._limit
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while (left := self._deadline - time.monotonic()) > 0:
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
            late = self._watched
        if late is not None:
            self._on_late(describe_late_stage(late, self._limit))


def describe_late_stage(performance: InstanceRun, limit: float) -> Finding:
    """What is late, and where it is."""
    message = (
        f"Instance {performance.number} of the application has not {performance.stage} within "
        f"{format_count(limit, 'second')}."
    )
    remedy = "What takes that long, or waits for ever, belongs into a task or a thread of the application's own."
    return Finding(Level.BREAK, "hangs", message, remedy, locate_run(performance))


def locate_run(performance: InstanceRun) -> SourceLocation | None:
    """The line of the project where the lifespan's task waits, or where the thread is if its loop does not turn."""
    if performance.loop is not None:
        answers: SimpleQueue[SourceLocation | None] = SimpleQueue()
        # A loop that is closed tells nothing, and one that is blocked no sooner than it turns.
        with suppress(RuntimeError, Empty):
            performance.loop.call_soon_threadsafe(put_task_location, answers)
            return answers.get(timeout=TASK_LOCATION_SECONDS)
    return locate_in_text(told_of(performance.thread, performance.thread_root))


def put_task_location(answers: "SimpleQueue[SourceLocation | None]") -> None:
    """Tells where a task of the running loop waits in the project, that of the lifespan first."""
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name() != "lifespan")
    answers.put(next((place for place in map(locate_task, tasks) if place is not None), None))
