"""The threads that call WSGI applications.

Any thread submits jobs; each pool thread takes them one after the other. The pool owns its threads and the queue of
jobs, guarded by its own lock, which is held for a few lines and never while a job runs. It never touches a loop.

A thread that sleeps waits on a queue of its own. One that is woken wakes the next while there is more to do, so that a
batch of jobs costs its sender one wake-up, and where one thread gets through a batch the others sleep on.
"""

import contextvars
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType
from typing import Any, Protocol

logger = logging.getLogger("threadserve.error")

REPORT_INTERVAL = 5.0
LONGEST_LOOK = 1.0


class Job(Protocol):
    """One call of an application."""

    since: float

    def run(self, memory: Any) -> None:
        """Makes the call, on a pool thread, which keeps `memory` from job to job. Raises nothing."""
        ...

    def give_up_threadsafe(self) -> None:
        """Answers in place of a call that does not come back."""
        ...


class PoolThread:
    """One thread: what it runs at the moment, and what wakes it. Its fields are guarded by the pool's lock."""

    __slots__ = ("has_ended", "is_set_aside", "job", "thread", "wake")

    def __init__(self) -> None:
        self.job: Job | None = None
        self.is_set_aside = False
        self.has_ended = False
        # A lock would do, but waiting for one begins with turns of polling on free-threaded builds.
        self.wake: SimpleQueue[None] = SimpleQueue()
        self.thread: threading.Thread | None = None


class Pool:
    """A fixed number of threads and a queue of at most `queue_limit` jobs that wait for one.

    `timeout` is for how many seconds a job may run before its thread is set aside and replaced, or None for ever. A
    job's `since` is the monotonic time from which that counts. `make_memory` makes what each thread keeps to itself.
    """

    def __init__(self, threads: int, queue_limit: int, timeout: float | None, make_memory: Callable[[], Any]) -> None:
        self._count = threads
        self._queue_limit = queue_limit
        self._timeout = timeout
        self._make_memory = make_memory
        self._pool_lock = threading.Lock()
        self._jobs: deque[Job] = deque()
        self._threads: list[PoolThread] = []
        self._sleeping: list[PoolThread] = []
        self._set_aside: list[PoolThread] = []
        self._is_waking = False
        self._is_stopped = False
        # The same, for the watching thread to wait for.
        self._has_stopped = threading.Event()
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
            run_thread("threadserve-wsgi-watch", self._watch)

    def submit_threadsafe(self, job: Job) -> bool:
        """Has a thread run the job; returns False where too many are waiting already, or the threads end."""
        if not self._is_started:
            self.start()
        with self._pool_lock:
            if self._is_stopped or (len(self._jobs) >= self._queue_limit and not self._sleeping):
                return False
            self._jobs.append(job)
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
            "%d requests were refused: all %d WSGI threads are busy and %d calls wait for them.",
            refused, self._count, self._queue_limit,
        )  # fmt: skip

    @property
    def is_worn_out(self) -> bool:
        """Whether as many threads are stuck as there should be: only a new process gets rid of them."""
        return len(self._set_aside) >= self._count

    def stop(self, timeout: float) -> bool:
        """Ends the threads as they become idle, and waits for them; returns whether all have ended in time."""
        self._has_stopped.set()
        with self._pool_lock:
            self._is_stopped = True
            left_over = list(self._jobs)
            self._jobs.clear()
            sleeping, self._sleeping = self._sleeping, []
            threads = self._threads + self._set_aside
        for sleeper in sleeping:
            sleeper.wake.put(None)
        for job in left_over:
            job.give_up_threadsafe()
        deadline = time.monotonic() + timeout
        for each in threads:
            if each.thread is not None:
                each.thread.join(max(0.0, deadline - time.monotonic()))
        left = sum(not each.has_ended for each in threads)
        if left:
            logger.error("%d WSGI threads are still busy with a call and are left behind.", left)
        return not left

    def _next_sleeper(self) -> PoolThread | None:
        """Whom to wake for what is in the queue, under the lock: one thread at a time."""
        if self._is_waking or not self._sleeping:
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
        one.has_ended = True

    def _take(self, one: PoolThread) -> Job | None:
        """The next job, once there is one; None when the thread is to end."""
        was_woken = False
        while True:
            sleeper = None
            with self._pool_lock:
                one.job = None
                if was_woken:
                    self._is_waking = False
                if one.is_set_aside:
                    self._set_aside.remove(one)
                    break
                if self._jobs:
                    job = one.job = self._jobs.popleft()
                    if self._jobs:
                        sleeper = self._next_sleeper()
                elif self._is_stopped:
                    break
                else:
                    self._sleeping.append(one)
            if one.job is not None:
                if sleeper is not None:
                    sleeper.wake.put(None)
                return job
            one.wake.get()
            was_woken = True
        if one.is_set_aside:
            logger.warning("A WSGI thread that had been set aside has come back; %d have not.", len(self._set_aside))
        return None

    # On the watching thread.

    def _watch(self) -> None:
        timeout = self._timeout
        assert timeout is not None
        while not self._has_stopped.wait(min(timeout / 4, LONGEST_LOOK)):
            limit = time.monotonic() - timeout
            with self._pool_lock:
                running = [(one, one.job) for one in self._threads if one.job is not None]
            for one, job in running:
                if job.since < limit:
                    self._put_aside(one, job, timeout)

    def _put_aside(self, one: PoolThread, job: Job, timeout: float) -> None:
        """Replaces a thread that is stuck. What it works for is answered; the thread itself cannot be ended."""
        with self._pool_lock:
            if one.job is not job or self._is_stopped:
                return
            one.is_set_aside = True
            self._threads.remove(one)
            self._set_aside.append(one)
            count = len(self._set_aside)
            self._start_thread()
        if count == self._count:
            logger.error("%d WSGI threads are stuck, as many as there should be. Terminating process.", count)
        stack = "".join(traceback.format_stack(frame_of(one)))
        job.give_up_threadsafe()
        logger.error(
            "A WSGI call has not come back for %g seconds: %s. Its thread is set aside, as %d now are, and is at:\n%s",
            timeout, job, count, stack.rstrip(),
        )  # fmt: skip


def frame_of(one: PoolThread) -> FrameType | None:
    """Where a thread is at the moment."""
    ident = one.thread.ident if one.thread is not None else None
    return sys._current_frames().get(ident) if ident is not None else None


def run_thread(name: str, target: Any, *args: Any) -> threading.Thread:
    """Starts a thread whose context is empty, and that does not keep the process from ending."""
    run = contextvars.Context().run
    thread = threading.Thread(target=run, args=(target, *args), name=name, daemon=True)
    thread.start()
    return thread
