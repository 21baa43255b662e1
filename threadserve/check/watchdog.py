"""Ends a check whose application does not come to an end with something, and says where it is.

Has a thread of its own in the process that checks. Loops' threads tell it of each stage that they begin with. It reads
what it needs to say where they are, and changes nothing.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable

from threadserve.check.findings import Finding, Level, Place
from threadserve.check.places import place_of_awaiting, place_of_frame
from threadserve.check.rehearsal import Performance
from threadserve.logging.wording import counted


class Watchdog:
    """Calls `on_late` on its own thread, once, with a finding, when a stage takes longer than `limit` seconds."""

    def __init__(self, limit: float, on_late: Callable[[Finding], object]) -> None:
        self._limit = limit
        self._on_late = on_late
        self._changed = threading.Condition()
        """Guards what is watched, and its deadline."""
        self._watched: Performance | None = None
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._watch, name="threadserve-check", daemon=True)

    def start(self) -> None:
        """Starts the thread. To be called once."""
        self._thread.start()

    def stop(self) -> None:
        """Watches nothing any more."""
        with self._changed:
            self._watched, self._deadline = None, float("inf")

    def on_stage_threadsafe(self, performance: Performance) -> None:
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
            self._on_late(lateness(late, self._limit))


def lateness(performance: Performance, limit: float) -> Finding:
    """What is late, and where it is."""
    message = (
        f"Instance {performance.number} of the application has not {performance.stage} within "
        f"{counted(limit, 'second')}."
    )
    remedy = "What takes that long, or waits for ever, belongs into a task or a thread of the application's own."
    return Finding(Level.BREAK, "hangs", message, remedy, place_of(performance))


def place_of(performance: Performance) -> Place | None:
    """The line of the project where a loop's thread is, or where the task of the lifespan waits."""
    frame = sys._current_frames().get(performance.thread_id)
    if (place := place_of_frame(frame)) is not None or performance.loop is None:
        return place
    tasks = sorted(asyncio.all_tasks(performance.loop), key=lambda task: task.get_name() != "lifespan")
    places = (place_of_awaiting(task.get_coro()) for task in tasks)
    return next((place for place in places if place is not None), None)
