"""The threads that call WSGI applications.

Any thread submits calls; each pool thread takes them one after the other. The pool owns its threads and the queue of
calls, guarded by its own lock, which is held for a few lines and never while a call runs. It never touches a loop.

When a thread that sleeps is woken is the `WakingPolicy`'s to say.
"""

import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from threadserve.logging.wording import format_count
from threadserve.metrics.states import PoolState, RunningCall
from threadserve.threads.stacks import told_of
from threadserve.wsgi.call import Call, ThreadCache
from threadserve.wsgi.parking import Mutex, Parking
from threadserve.wsgi.thread_end import close_kept_open
from threadserve.wsgi.waking import WakingPolicy

logger = logging.getLogger("threadserve.error")

# For how many responses to quick calls a loop need not be woken yet.
GATHERED = 8
# How many threads may take the place of stuck ones, if the pool has no more itself, and for how many times the limit
# the last thread there may be is stuck when the pool is given up.
REPLACEMENTS = 16
GIVEN_UP_AFTER = 3
REPORT_INTERVAL = 5.0
LONGEST_LOOK = 1.0
# For how long a thread that has nothing left to do is waited for.
SCHEDULED = 10.0


class PoolThread:
    """One thread: the call it makes at the moment, and where it sleeps. Its fields are guarded by the pool's lock."""

    __slots__ = ("began", "cache", "call", "has_ended", "is_set_aside", "parking", "stuck_since", "thread")

    def __init__(self, cache: ThreadCache) -> None:
        self.call: Call | None = None
        self.began = 0.0
        self.cache = cache
        self.is_set_aside = False
        self.stuck_since = 0.0
        self.has_ended = False
        self.parking = Parking()
        self.thread: threading.Thread | None = None

    def join(self, deadline: float) -> None:
        """Waits for the thread's end, until that time."""
        if self.thread is not None:
            self.thread.join(max(0.0, deadline - time.monotonic()))


class Pool:
    """A number of threads and a queue of at most `queue_limit` calls that wait for one.

    `timeout` is for how many seconds a call may run before its thread is set aside and replaced, or None for ever. A
    thread's `ThreadCache.since` is the time from which that counts. As many threads again, and `REPLACEMENTS` at least,
    may take the place of others. `make_cache` makes what each thread keeps to itself.
    """

    __slots__ = (
        "_calls", "_count", "_has_stopped", "_is_started", "_is_stopped", "_is_unwatched", "_leaving", "_make_cache",
        "_most", "_next_report", "_pool_mutex", "_queue_limit", "_refused", "_refused_so_far",
        "_set_aside", "_sleeping", "_taken",
        "_threads", "_timeout", "_timeouts", "_waking", "_watcher", "is_worn_out", "submitted",
    )  # fmt: skip

    def __init__(
        self, threads: int, queue_limit: int, timeout: float | None, make_cache: Callable[[], ThreadCache]
    ) -> None:
        self._count = threads
        self._most = threads + max(threads, REPLACEMENTS)
        self._queue_limit = queue_limit
        self._timeout = timeout
        self._make_cache = make_cache
        self._pool_mutex = Mutex()
        self._calls: deque[Call] = deque()
        self._threads: list[PoolThread] = []
        self._sleeping: list[PoolThread] = []
        self._waking = WakingPolicy()
        self._taken = 0
        # How many calls have been taken into the queue so far.
        self.submitted = 0
        self._set_aside: list[PoolThread] = []
        # Threads that had been set aside, have come back, and are about to end.
        self._leaving: list[PoolThread] = []
        # Whether the queue has calls for which nobody looks back.
        self._is_unwatched = False
        self._is_stopped = False
        # Whether there is no thread left that is not stuck, and none is expected to come back.
        self.is_worn_out = False
        # That the pool is stopped, for the watching thread to wait for.
        self._has_stopped = threading.Event()
        self._watcher: threading.Thread | None = None
        self._is_started = False
        self._refused = 0
        self._refused_so_far = 0
        self._timeouts = 0
        self._next_report = 0.0

    # From any thread.

    def start(self) -> None:
        """Starts the threads, unless they are."""
        with self._pool_mutex:
            if self._is_started:
                return
            self._is_started = True
            for _ in range(self._count):
                self._start_thread()
            if self._timeout is not None:
                self._watcher = run_thread("threadserve-wsgi-watch", self._watch, self._timeout)

    def submit_threadsafe(self, calls: list[Call], looks_back: bool = False) -> list[Call]:
        """Has threads run the calls; returns those for which too many are waiting already, or all when the threads end.

        With `looks_back` the caller calls `look_threadsafe` a moment later.
        """
        if not self._is_started:
            self.start()
        refused: list[Call] = []
        now = time.monotonic()
        self._pool_mutex.lock()
        try:
            room = self._room()
            if room < len(calls):
                refused = calls[room:]
                calls = calls[:room]
            self._calls += calls
            self._is_unwatched = self._is_unwatched or not looks_back
            self.submitted += len(calls)
            sleeper = None if looks_back and self._waking.is_taken_soon(now) else self._next_sleeper()
        finally:
            self._pool_mutex.unlock()
        if sleeper is not None:
            sleeper.parking.wake_threadsafe()
        return refused

    def look_threadsafe(self, target: int) -> bool:
        """Wakes another thread where some of the first `target` calls still wait; returns whether any call does."""
        now = time.monotonic()
        with self._pool_mutex:
            if not self._calls:
                return False
            if self._taken >= target:
                return True
            if not self._waking.is_taken_soon(now):
                self._waking.on_held_up()
            sleeper = self._next_sleeper()
        if sleeper is not None:
            sleeper.parking.wake_threadsafe()
        return True

    def report_refusals_threadsafe(self, count: int) -> None:
        """Logs that so many requests were refused, and others since the last time; at intervals."""
        with self._pool_mutex:
            self._refused += count
            self._refused_so_far += count
            now = time.monotonic()
            if now < self._next_report:
                return
            refused, self._refused = self._refused, 0
            self._next_report = now + REPORT_INTERVAL
        logger.warning(
            "%s refused: all %s busy, with %s waiting for them.",
            format_count(refused, "request was", "requests were"),
            format_count(self._count, "WSGI thread is", "WSGI threads are"), format_count(self._queue_limit, "call"),
        )  # fmt: skip

    def state_threadsafe(self) -> tuple[PoolState, list[threading.Thread | None]]:
        """How the threads are, and for each call that runs, in their order, the thread that makes it."""
        now = time.monotonic()
        with self._pool_mutex:
            working = [(one, one.call) for one in (*self._threads, *self._set_aside) if one.call is not None]
            stuck, queue = len(self._set_aside), len(self._calls)
            threads, refused, timeouts = len(self._threads), self._refused_so_far, self._timeouts
        calls = tuple(RunningCall(str(call), now - one.began) for one, call in working)
        busy = len(working) - stuck
        state = PoolState(threads, busy, stuck, queue, self._queue_limit, timeouts, refused, calls)
        return state, [one.thread for one, _ in working]

    def is_quick(self) -> bool:
        """Whether calls have been quick of late (see `WakingPolicy`)."""
        return self._waking.is_quick

    def is_idle(self) -> bool:
        """Whether all threads sleep, or did a moment ago."""
        return len(self._sleeping) >= self._count

    def stop(self, timeout: float) -> bool:
        """Ends the threads as they become idle, and waits for them; returns whether all have ended in time.

        `timeout` is for those that are at a call: the others only have to be scheduled, be it on a busy machine.
        """
        self._has_stopped.set()
        with self._pool_mutex:
            self._is_stopped = True
            sleeping, self._sleeping = self._sleeping, []
            threads = self._threads + self._set_aside + self._leaving
        for sleeper in sleeping:
            sleeper.parking.wake_threadsafe()
        self._give_up_queue()
        deadline = time.monotonic() + timeout
        if self._watcher is not None:
            self._watcher.join(timeout + SCHEDULED)
        for each in threads:
            each.join(deadline)
        with self._pool_mutex:
            idle = [each for each in threads if each.call is None]
        for each in idle:
            each.join(deadline + SCHEDULED)
        left = sum(not each.has_ended for each in threads)
        if left:
            logger.error("Left behind: %s still busy with a call.", format_count(left, "WSGI thread"))
        return not left

    def _give_up_queue(self) -> None:
        """Answers in place of the calls that no thread will run; no other may come."""
        with self._pool_mutex:
            left_over = list(self._calls)
            self._calls.clear()
        for call in left_over:
            call.give_up_threadsafe()
            call.drop_body()

    def _room(self) -> int:
        """How many more calls may come, under the lock."""
        if self._is_stopped or self.is_worn_out:
            return 0
        return max(0, self._queue_limit + len(self._sleeping) + self._waking.is_waking - len(self._calls))

    def _next_sleeper(self) -> PoolThread | None:
        """Whom to wake for what is in the queue, under the lock: one thread at a time."""
        if self._waking.is_waking or not self._sleeping or not self._calls:
            return None
        self._waking.is_waking = True
        return self._sleeping.pop()

    def _start_thread(self) -> None:
        one = PoolThread(self._make_cache())
        one.thread = run_thread(f"threadserve-wsgi-{len(self._threads) + 1}", self._serve, one)
        self._threads.append(one)

    def _start_another(self) -> bool:
        """Starts a thread under the lock; returns whether the system has one for us."""
        try:
            self._start_thread()
        except RuntimeError:
            return False
        return True

    # On the pool's threads.

    def _serve(self, one: PoolThread) -> None:
        cache = one.cache
        while (call := self._take(one)) is not None:
            call.run(cache)
            del call
            if cache.owed and (not self._calls or not self._waking.is_quick or cache.owed >= GATHERED):
                cache.settle()
        close_kept_open()
        one.has_ended = True

    def _take(self, one: PoolThread) -> Call | None:
        """The next call, once there is one; None when the thread is to end."""
        was_woken = has_come_back = False
        while True:
            sleeper = None
            now = time.monotonic()
            done = one.call
            self._pool_mutex.lock()
            try:
                if done is not None:
                    self._waking.on_ended(one.began, now)
                    one.call = None
                if was_woken:
                    self._waking.is_waking = False
                if one.is_set_aside:
                    has_come_back = True
                    self._set_aside.remove(one)
                    if len(self._threads) >= self._count:
                        self._leaving = [*(each for each in self._leaving if not each.has_ended), one]
                        break
                    one.is_set_aside = False
                    self._threads.append(one)
                if self._calls:
                    call = one.call = self._calls.popleft()
                    one.cache.since = one.began = now
                    self._waking.on_began(now)
                    self._taken += 1
                    if not self._calls:
                        self._is_unwatched = False
                    elif not self._waking.is_quick or self._is_unwatched:
                        sleeper = self._next_sleeper()
                elif self._is_stopped:
                    break
                else:
                    self._sleeping.append(one)
            finally:
                self._pool_mutex.unlock()
            # Not under the lock: the last reference to a call takes others with it.
            done = None
            if has_come_back:
                has_come_back = False
                self._report_return()
            if one.call is not None:
                if sleeper is not None:
                    sleeper.parking.wake_threadsafe()
                return call
            one.parking.sleep()
            was_woken = True
        if has_come_back:
            self._report_return()
        return None

    def _report_return(self) -> None:
        logger.warning(
            "A WSGI thread that had been set aside has come back; %s not.",
            format_count(len(self._set_aside), "has", "have"),
        )

    # On the watching thread.

    def _watch(self, timeout: float) -> None:
        while not self._has_stopped.wait(min(timeout / 4, LONGEST_LOOK)):
            try:
                self._look_at_calls(timeout)
            except Exception as error:
                logger.error("The WSGI threads could not be looked after", exc_info=error)

    def _look_at_calls(self, timeout: float) -> None:
        limit = time.monotonic() - timeout
        with self._pool_mutex:
            running = [(one, one.call) for one in self._threads if one.call is not None]
        for one, call in running:
            if one.cache.since < limit:
                self._put_aside(one, call, timeout)
        self._look_for_hope(timeout)

    def _put_aside(self, one: PoolThread, call: Call, timeout: float) -> None:
        """Replaces a thread that is stuck. What it works for is answered; the thread itself cannot be ended."""
        with self._pool_mutex:
            if one.call is not call or self._is_stopped:
                return
            self._timeouts += 1
            one.is_set_aside = True
            one.stuck_since = one.cache.since
            self._threads.remove(one)
            self._set_aside.append(one)
            count = len(self._set_aside)
            is_replaced = len(self._threads) + count < self._most
            if is_replaced:
                is_replaced = self._start_another()
            are_all = not self._threads
        call.give_up_threadsafe()
        stack = told_of(one.thread)
        logger.error(
            "A WSGI call has not come back for %s: %s. Its thread is set aside, as %d now %s, %s, and %s",
            format_count(timeout, "second"), call, count, "is" if count == 1 else "are",
            "is replaced" if is_replaced else "is not replaced, for there are too many threads", stack,
        )  # fmt: skip
        if are_all:
            logger.error(
                "All %s stuck. Unless one comes back within %s the process ends.",
                format_count(count, "WSGI thread is", "WSGI threads are"),
                format_count((GIVEN_UP_AFTER - 1) * timeout, "second"),
            )

    def _look_for_hope(self, timeout: float) -> None:
        """Gives the pool up when every thread there may be has been stuck for long."""
        with self._pool_mutex:
            if self._threads or self._is_stopped or self.is_worn_out:
                return
            stuck_for = time.monotonic() - max(each.stuck_since for each in self._set_aside)
            if stuck_for < GIVEN_UP_AFTER * timeout:
                return
            self.is_worn_out = True
        self._give_up_queue()


def run_thread(name: str, target: Any, *args: Any) -> threading.Thread:
    """Starts a thread whose context is empty, and that does not keep the process from ending."""
    run = contextvars.Context().run
    thread = threading.Thread(target=run, args=(target, *args), name=name, daemon=True)
    thread.start()
    return thread
