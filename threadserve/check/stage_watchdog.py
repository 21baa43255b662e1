"""A watchdog that ends a check when a stage of the application takes too long, and reports where it is.

Has a thread of its own in the inspected process. The loops' threads report the stages that they begin, and where they
are if one takes too long; no other thread reads their frames.
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
from threadserve.runtime.stacks import describe_thread

# The time that a loop has to say where its tasks wait.
TASK_LOCATION_SECONDS = 0.5


class StageWatchdog:
    """Calls `on_late` once, on its own thread, with a finding, if a stage takes longer than `limit` seconds."""

    def __init__(self, limit: float, on_late: Callable[[Finding], object]) -> None:
        self._limit = limit
        self._on_late = on_late
        # Guards the watched run and its deadline.
        self._changed = threading.Condition()
        self._watched: InstanceRun | None = None
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._watch, name="threadserve-check", daemon=True)

    def start(self) -> None:
        """Start the thread. Must be called once."""
        self._thread.start()

    def stop(self) -> None:
        """Watch nothing any longer."""
        with self._changed:
            self._watched, self._deadline = None, float("inf")

    def on_stage_threadsafe(self, instance_run: InstanceRun) -> None:
        """Set the deadline of a stage that has begun."""
        with self._changed:
            self._watched, self._deadline = instance_run, time.monotonic() + self._limit
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while (left := self._deadline - time.monotonic()) > 0:
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
            late = self._watched
        if late is not None:
            self._on_late(describe_late_stage(late, self._limit))


def describe_late_stage(instance_run: InstanceRun, limit: float) -> Finding:
    """Return the finding about a late stage."""
    message = (
        f"Instance {instance_run.number} of the application has not {instance_run.stage} within "
        f"{format_count(limit, 'second')}."
    )
    remedy = "What takes that long, or waits for ever, belongs into a task or a thread of the application's own."
    return Finding(Level.BREAK, "hangs", message, remedy, locate_run(instance_run))


def locate_run(instance_run: InstanceRun) -> SourceLocation | None:
    """Return the line of the project where the lifespan's task waits, or where the thread is if its loop is blocked."""
    if instance_run.loop is not None:
        answers: SimpleQueue[SourceLocation | None] = SimpleQueue()
        # A closed loop raises RuntimeError; a blocked one does not answer in time.
        with suppress(RuntimeError, Empty):
            instance_run.loop.call_soon_threadsafe(put_task_location, answers)
            return answers.get(timeout=TASK_LOCATION_SECONDS)
    return locate_in_text(describe_thread(instance_run.thread, instance_run.root_function))


def put_task_location(answers: "SimpleQueue[SourceLocation | None]") -> None:
    """Answer with the line where a task of the running loop waits in the project, the lifespan's task first."""
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name() != "lifespan")
    answers.put(next((place for place in map(locate_task, tasks) if place is not None), None))
