"""The threads that call WSGI applications.

Any thread submits jobs; each pool thread takes them one after the other. The pool owns its threads and the queue of
jobs, guarded by its own lock, which is held for a few lines and never while a job runs. It never touches a loop.

A thread that sleeps waits on a queue of its own. One that is woken wakes the next while there is more to do, so that a
batch of jobs costs its sender one wake-up, and where one thread gets through a batch the others sleep on.

While jobs take less time than waking a thread for them would, one thread is left to do them all, if the submitter looks
back for jobs that are stuck behind one that takes longer after all.
"""

import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from threadserve.interfaces.wsgi.stacks import stack_of
from threadserve.logging.wording import counted

logger = logging.getLogger("threadserve.error")

# Jobs are quick while one takes less than this on the average; longer ones count as no more than `LONGEST_COUNTED`.
QUICK = 0.000_12
LONGEST_COUNTED = 0.000_3
WEIGHT = 1 / 16
# For how long a thread is expected to come back for the next job.
BRISK = 0.000_5
# How many answers to quick jobs a thread may keep to itself.
GATHERED = 8
# How many threads may take the place of stuck ones, if the pool has no more itself, and for how many times the limit
# the last thread there may be is stuck when the pool is given up.
REPLACEMENTS = 16
GIVEN_UP_AFTER = 3
REPORT_INTERVAL = 5.0
LONGEST_LOOK = 1.0
# For how long a thread that has nothing left to do is waited for.
SCHEDULED = 10.0


class Memory(Protocol):
    """What a thread keeps to itself from job to job."""

    owed: int

    def settle(self) -> None:
        """Sends what `owed` counts of answers that were made and kept back. Raises nothing."""
        ...


class Job(Protocol):
    """One call of an application."""

    since: float

    def run(self, memory: Any) -> None:
        """Makes the call, on a pool thread, which keeps `memory` from job to job. Raises nothing."""
        ...

    def give_up_threadsafe(self) -> None:
        """Answers in place of a call that does not come back."""
        ...


AnyJob = TypeVar("AnyJob", bound=Job)


class PoolThread:
    """One thread: what it runs at the moment, and what wakes it. Its fields are guarded by the pool's lock."""

    __slots__ = ("began", "has_ended", "is_set_aside", "job", "stuck_since", "thread", "wake")

    def __init__(self) -> None:
        self.job: Job | None = None
        self.began = 0.0
        self.is_set_aside = False
        self.stuck_since = 0.0
        self.has_ended = False
        # A lock would do, but waiting for one begins with turns of polling on free-threaded builds.
        self.wake: SimpleQueue[None] = SimpleQueue()
        self.thread: threading.Thread | None = None

    def join(self, deadline: float) -> None:
        """Waits for the thread's end, until that time."""
        if self.thread is not None:
            self.thread.join(max(0.0, deadline - time.monotonic()))


class Pool:
    """A number of threads and a queue of at most `queue_limit` jobs that wait for one.

    `timeout` is for how many seconds a job may run before its thread is set aside and replaced, or None for ever. A
    job's `since` is the monotonic time from which that counts. As many threads again, and `REPLACEMENTS` at least, may
    take the place of others. `make_memory` makes what each thread keeps to itself.
    """

    def __init__(
        self, threads: int, queue_limit: int, timeout: float | None, make_memory: Callable[[], Memory]
    ) -> None:
        self._count = threads
        self._most = threads + max(threads, REPLACEMENTS)
        self._queue_limit = queue_limit
        self._timeout = timeout
        self._make_memory = make_memory
        self._pool_lock = threading.Lock()
        self._jobs: deque[Job] = deque()
        self._threads: list[PoolThread] = []
        self._sleeping: list[PoolThread] = []
        self._latest: PoolThread | None = None
        self._average = QUICK
        self.is_quick = False
        self._taken = 0
        # How many jobs have been taken into the queue so far.
        self.submitted = 0
        self._set_aside: list[PoolThread] = []
        # Threads that had been set aside, have come back, and are about to end.
        self._leaving: list[PoolThread] = []
        self._is_waking = False
        # Whether the queue has jobs for which nobody looks back.
        self._is_unwatched = False
        self._is_stopped = False
        # Whether there is no thread left that is not stuck, and none is expected to come back.
        self.is_worn_out = False
        # That the pool is stopped, for the watching thread to wait for.
        self._has_stopped = threading.Event()
        self._watcher: threading.Thread | None = None
        self._is_started = False
        self._refused = 0
        self._next_report = 0.0

    # From any thread.

    def start(self) -> None:
        """Starts the threads, unless they are."""
        with self._pool_lock:
            if self._is_started:
                return
            self._is_started = True
            for _ in range(self._count):
                self._start_thread()
            if self._timeout is not None:
                self._watcher = run_thread("threadserve-wsgi-watch", self._watch, self._timeout)

    def submit_threadsafe(self, jobs: list[AnyJob], *, looks_back: bool = False) -> list[AnyJob]:
        """Has threads run the jobs; returns those for which too many are waiting already, or all when the threads end.

        With `looks_back` the caller calls `look_threadsafe` a moment later.
        """
        if not self._is_started:
            self.start()
        refused: list[AnyJob] = []
        with self._pool_lock:
            room = self._room()
            if room < len(jobs):
                refused = jobs[room:]
                jobs = jobs[:room]
            self._jobs += jobs
            self._is_unwatched = self._is_unwatched or not looks_back
            self.submitted += len(jobs)
            sleeper = None if looks_back and self._is_brisk() else self._next_sleeper()
        if sleeper is not None:
            sleeper.wake.put(None)
        return refused

    def look_threadsafe(self, target: int) -> bool:
        """Wakes another thread where of the first `target` jobs some are still waiting; returns whether any job is."""
        with self._pool_lock:
            if not self._jobs:
                return False
            if self._taken >= target:
                return True
            if not self._is_brisk():
                # Those that are awake have met with something slow, and so will the next.
                self._average, self.is_quick = LONGEST_COUNTED, False
            sleeper = self._next_sleeper()
        if sleeper is not None:
            sleeper.wake.put(None)
        return True

    def report_refusal_threadsafe(self) -> None:
        """Logs that a request was refused, at intervals."""
        with self._pool_lock:
            self._refused += 1
            now = time.monotonic()
            if now < self._next_report:
                return
            refused, self._refused = self._refused, 0
            self._next_report = now + REPORT_INTERVAL
        logger.warning(
            "%s refused: all %s busy, with %s waiting for them.",
            counted(refused, "request was", "requests were"),
            counted(self._count, "WSGI thread is", "WSGI threads are"), counted(self._queue_limit, "call"),
        )  # fmt: skip

    @property
    def is_idle(self) -> bool:
        """Whether all threads sleep, or did a moment ago."""
        return len(self._sleeping) >= self._count

    def stop(self, timeout: float) -> bool:
        """Ends the threads as they become idle, and waits for them; returns whether all have ended in time.

        `timeout` is for those that are at a call: the others only have to be scheduled, be it on a busy machine.
        """
        self._has_stopped.set()
        with self._pool_lock:
            self._is_stopped = True
            sleeping, self._sleeping = self._sleeping, []
            threads = self._threads + self._set_aside + self._leaving
        for sleeper in sleeping:
            sleeper.wake.put(None)
        self._give_up_queue()
        deadline = time.monotonic() + timeout
        if self._watcher is not None:
            self._watcher.join(timeout + SCHEDULED)
        for each in threads:
            each.join(deadline)
        with self._pool_lock:
            idle = [each for each in threads if each.job is None]
        for each in idle:
            each.join(deadline + SCHEDULED)
        left = sum(not each.has_ended for each in threads)
        if left:
            logger.error("Left behind: %s still busy with a call.", counted(left, "WSGI thread"))
        return not left

    def _give_up_queue(self) -> None:
        """Answers in place of the jobs that no thread will run; no other may come."""
        with self._pool_lock:
            left_over = list(self._jobs)
            self._jobs.clear()
        for job in left_over:
            job.give_up_threadsafe()

    def _room(self) -> int:
        """How many more jobs may come, under the lock."""
        if self._is_stopped or self.is_worn_out:
            return 0
        return max(0, self._queue_limit + len(self._sleeping) + self._is_waking - len(self._jobs))

    def _is_brisk(self) -> bool:
        """Whether a thread will come back for what is in the queue before another could be woken, under the lock."""
        latest = self._latest
        if not self.is_quick or latest is None or latest.job is None:
            return False
        return time.monotonic() - latest.began < BRISK

    def _next_sleeper(self) -> PoolThread | None:
        """Whom to wake for what is in the queue, under the lock: one thread at a time."""
        if self._is_waking or not self._sleeping or not self._jobs:
            return None
        self._is_waking = True
        return self._sleeping.pop()

    def _start_thread(self) -> None:
        self._threads.append(one := PoolThread())
        one.thread = run_thread(f"threadserve-wsgi-{len(self._threads)}", self._serve, one)

    # On the pool's threads.

    def _serve(self, one: PoolThread) -> None:
        memory = self._make_memory()
        while (job := self._take(one)) is not None:
            job.run(memory)
            del job
            if memory.owed and (not self._jobs or not self.is_quick or memory.owed >= GATHERED):
                memory.settle()
        one.has_ended = True

    def _take(self, one: PoolThread) -> Job | None:
        """The next job, once there is one; None when the thread is to end."""
        was_woken = has_come_back = False
        while True:
            sleeper = None
            now = time.monotonic()
            with self._pool_lock:
                if one.job is not None:
                    self._learn(now - one.began)
                    one.job = None
                if was_woken:
                    self._is_waking = False
                if one.is_set_aside:
                    has_come_back = True
                    self._set_aside.remove(one)
                    if len(self._threads) >= self._count:
                        self._leaving = [*(each for each in self._leaving if not each.has_ended), one]
                        break
                    one.is_set_aside = False
                    self._threads.append(one)
                if self._jobs:
                    job = one.job = self._jobs.popleft()
                    job.since = one.began = now
                    self._latest = one
                    self._taken += 1
                    if not self._jobs:
                        self._is_unwatched = False
                    elif not self.is_quick or self._is_unwatched:
                        sleeper = self._next_sleeper()
                elif self._is_stopped:
                    break
                else:
                    self._sleeping.append(one)
            if has_come_back:
                has_come_back = False
                self._report_return()
            if one.job is not None:
                if sleeper is not None:
                    sleeper.wake.put(None)
                return job
            one.wake.get()
            was_woken = True
        if has_come_back:
            self._report_return()
        return None

    def _report_return(self) -> None:
        logger.warning(
            "A WSGI thread that had been set aside has come back; %s not.", counted(len(self._set_aside), "has", "have")
        )

    def _learn(self, took: float) -> None:
        """Notes how long a job took, under the lock."""
        self._average += (min(took, LONGEST_COUNTED) - self._average) * WEIGHT
        self.is_quick = self._average < QUICK

    # On the watching thread.

    def _watch(self, timeout: float) -> None:
        while not self._has_stopped.wait(min(timeout / 4, LONGEST_LOOK)):
            limit = time.monotonic() - timeout
            with self._pool_lock:
                running = [(one, one.job) for one in self._threads if one.job is not None]
            for one, job in running:
                if job.since < limit:
                    self._put_aside(one, job, timeout)
            self._look_for_hope(timeout)

    def _put_aside(self, one: PoolThread, job: Job, timeout: float) -> None:
        """Replaces a thread that is stuck. What it works for is answered; the thread itself cannot be ended."""
        with self._pool_lock:
            if one.job is not job or self._is_stopped:
                return
            one.is_set_aside = True
            one.stuck_since = job.since
            self._threads.remove(one)
            self._set_aside.append(one)
            count = len(self._set_aside)
            is_replaced = len(self._threads) + count < self._most
            if is_replaced:
                self._start_thread()
            are_all = not self._threads
        stack = stack_of(one.thread)
        job.give_up_threadsafe()
        logger.error(
            "A WSGI call has not come back for %s: %s. Its thread is set aside, as %d now %s, %s, and %s",
            counted(timeout, "second"), job, count, "is" if count == 1 else "are",
            "is replaced" if is_replaced else "is not replaced, for there are too many", stack,
        )  # fmt: skip
        if are_all:
            logger.error(
                "All %s stuck. Unless one comes back within %s the process ends.",
                counted(count, "WSGI thread is", "WSGI threads are"), counted((GIVEN_UP_AFTER - 1) * timeout, "second"),
            )  # fmt: skip

    def _look_for_hope(self, timeout: float) -> None:
        """Gives the pool up when every thread there may be has been stuck for long."""
        with self._pool_lock:
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
