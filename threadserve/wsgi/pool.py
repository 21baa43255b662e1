"""The threads that call WSGI applications.

Any thread submits calls; each pool thread takes one after the other. The pool owns its threads and the queue of calls,
guarded by its own mutex, which is held for a few lines and never while a call runs. It never touches a loop.

The `WakeupPolicy` decides when an idle thread is woken. A watchdog thread replaces threads whose calls time out.
"""

import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from threadserve.logging.wording import format_count
from threadserve.metrics.states import PoolState, RunningCall
from threadserve.runtime.stacks import describe_thread
from threadserve.wsgi.call import Call, ThreadCache
from threadserve.wsgi.locks import Mutex, Semaphore
from threadserve.wsgi.thread_cleanup import close_database_connections
from threadserve.wsgi.wakeup_policy import WakeupPolicy

logger = logging.getLogger("threadserve.error")

# Responses to short calls that may wait before their loop is woken.
MAX_PENDING_RESPONSES = 8
# The least number of threads that may replace timed out ones, and the number of timeouts after which a pool without any
# other thread is exhausted.
MIN_REPLACEMENTS = 16
EXHAUSTED_AFTER_TIMEOUTS = 3
REPORT_INTERVAL_SECONDS = 5.0
MAX_CHECK_INTERVAL_SECONDS = 1.0
# The time in which an idle thread should end, even on a busy machine.
SCHEDULING_SECONDS = 10.0


class PoolThread:
    """One thread, its current call, and the semaphore on which it waits. The pool's mutex guards the fields."""

    __slots__ = ("began", "cache", "call", "has_ended", "is_timed_out", "semaphore", "stuck_since", "thread")

    def __init__(self, cache: ThreadCache) -> None:
        self.call: Call | None = None
        self.began = 0.0
        self.cache = cache
        self.is_timed_out = False
        self.stuck_since = 0.0
        self.has_ended = False
        self.semaphore = Semaphore()
        self.thread: threading.Thread | None = None

    def join(self, deadline: float) -> None:
        """Wait until the thread ends, or until `deadline` in the seconds of `time.monotonic`."""
        if self.thread is not None:
            self.thread.join(max(0.0, deadline - time.monotonic()))


class Pool:
    """A number of threads, and a queue of at most `queue_limit` calls that wait for one.

    `timeout` is the number of seconds that a call may run before its thread is replaced, or None; it counts from the
    thread's `ThreadCache.counting_since`. As many threads again, and at least `MIN_REPLACEMENTS`, may replace others.
    `make_cache` makes the cache of each thread.
    """

    __slots__ = (
        "_calls",
        "_ending",
        "_has_unchecked_calls",
        "_idle",
        "_is_started",
        "_is_stopped",
        "_make_cache",
        "_max_threads",
        "_next_report_at",
        "_pool_mutex",
        "_queue_limit",
        "_refusals",
        "_size",
        "_started",
        "_stop_event",
        "_threads",
        "_timed_out",
        "_timeout",
        "_timeouts",
        "_unreported_refusals",
        "_wakeup_policy",
        "_watchdog",
        "is_exhausted",
        "submitted",
    )

    def __init__(
        self, threads: int, queue_limit: int, timeout: float | None, make_cache: Callable[[], ThreadCache]
    ) -> None:
        self._size = threads
        self._max_threads = threads + max(threads, MIN_REPLACEMENTS)
        self._queue_limit = queue_limit
        self._timeout = timeout
        self._make_cache = make_cache
        self._pool_mutex = Mutex()
        self._calls: deque[Call] = deque()
        self._threads: list[PoolThread] = []
        self._idle: list[PoolThread] = []
        self._wakeup_policy = WakeupPolicy()
        self._started = 0
        # The number of calls queued so far.
        self.submitted = 0
        self._timed_out: list[PoolThread] = []
        # Threads that had timed out, have returned, and are about to end.
        self._ending: list[PoolThread] = []
        # True while the queue has calls whose submitter does not recheck.
        self._has_unchecked_calls = False
        self._is_stopped = False
        # True when all threads are stuck, and none is expected to return.
        self.is_exhausted = False
        # Set when the pool stops, for the watchdog.
        self._stop_event = threading.Event()
        self._watchdog: threading.Thread | None = None
        self._is_started = False
        self._unreported_refusals = 0
        self._refusals = 0
        self._timeouts = 0
        self._next_report_at = 0.0

    # From any thread.

    def start(self) -> None:
        """Start the threads, unless they have been started."""
        with self._pool_mutex:
            if self._is_started:
                return
            self._is_started = True
            for _ in range(self._size):
                self._start_thread()
            if self._timeout is not None:
                self._watchdog = start_thread("threadserve-wsgi-watch", self._run_watchdog, self._timeout)

    def submit_threadsafe(self, calls: list[Call], will_recheck: bool = False) -> list[Call]:
        """Queue the calls; return those for which the queue has no room: all of them once the pool stops.

        With `will_recheck` the caller calls `recheck_threadsafe` a moment later.
        """
        if not self._is_started:
            self.start()
        refused: list[Call] = []
        now = time.monotonic()
        self._pool_mutex.lock()
        try:
            slots = self._free_slots()
            if slots < len(calls):
                refused = calls[slots:]
                calls = calls[:slots]
            self._calls += calls
            self._has_unchecked_calls = self._has_unchecked_calls or not will_recheck
            self.submitted += len(calls)
            woken = None if will_recheck and self._wakeup_policy.expects_return(now) else self._thread_to_wake()
        finally:
            self._pool_mutex.unlock()
        if woken is not None:
            woken.semaphore.release_threadsafe()
        return refused

    def recheck_threadsafe(self, target: int) -> bool:
        """Wake another thread if some of the first `target` calls still wait; return whether any call waits."""
        now = time.monotonic()
        with self._pool_mutex:
            if not self._calls:
                return False
            if self._started >= target:
                return True
            if not self._wakeup_policy.expects_return(now):
                self._wakeup_policy.on_delay()
            woken = self._thread_to_wake()
        if woken is not None:
            woken.semaphore.release_threadsafe()
        return True

    def report_refusals_threadsafe(self, count: int) -> None:
        """Count refused requests, and log their number at intervals."""
        with self._pool_mutex:
            self._unreported_refusals += count
            self._refusals += count
            now = time.monotonic()
            if now < self._next_report_at:
                return
            refused, self._unreported_refusals = self._unreported_refusals, 0
            self._next_report_at = now + REPORT_INTERVAL_SECONDS
        logger.warning(
            "%s refused: all %s busy, with %s waiting for them.",
            format_count(refused, "request was", "requests were"),
            format_count(self._size, "WSGI thread is", "WSGI threads are"), format_count(self._queue_limit, "call"),
        )  # fmt: skip

    def state_threadsafe(self) -> tuple[PoolState, list[threading.Thread | None]]:
        """Return the pool's state, and for each call in it the thread that runs it."""
        now = time.monotonic()
        with self._pool_mutex:
            busy_threads = [
                (pool_thread, pool_thread.call)
                for pool_thread in (*self._threads, *self._timed_out)
                if pool_thread.call is not None
            ]
            stuck, queue = len(self._timed_out), len(self._calls)
            threads, refused, timeouts = len(self._threads), self._refusals, self._timeouts
        calls = tuple(RunningCall(str(call), now - pool_thread.began) for pool_thread, call in busy_threads)
        busy = len(busy_threads) - stuck
        state = PoolState(threads, busy, stuck, queue, self._queue_limit, timeouts, refused, calls)
        return state, [pool_thread.thread for pool_thread, _ in busy_threads]

    def has_short_calls(self) -> bool:
        """Return whether recent calls were short (see `WakeupPolicy`)."""
        return self._wakeup_policy.has_short_calls

    def has_only_idle_threads(self) -> bool:
        """Return whether all threads are idle, or were a moment ago."""
        return len(self._idle) >= self._size

    def stop(self, timeout: float) -> bool:
        """Stop the threads as they become idle, and wait for them; return whether all have ended in time.

        `timeout` is for threads that run a call, in seconds; idle threads get `SCHEDULING_SECONDS` more.
        """
        self._stop_event.set()
        with self._pool_mutex:
            self._is_stopped = True
            sleeping, self._idle = self._idle, []
            threads = self._threads + self._timed_out + self._ending
        for woken in sleeping:
            woken.semaphore.release_threadsafe()
        self._abandon_queue()
        deadline = time.monotonic() + timeout
        if self._watchdog is not None:
            self._watchdog.join(timeout + SCHEDULING_SECONDS)
        for each in threads:
            each.join(deadline)
        with self._pool_mutex:
            idle = [each for each in threads if each.call is None]
        for each in idle:
            each.join(deadline + SCHEDULING_SECONDS)
        running_count = sum(not each.has_ended for each in threads)
        if running_count:
            logger.error("Left behind: %s still busy with a call.", format_count(running_count, "WSGI thread"))
        return not running_count

    def _abandon_queue(self) -> None:
        """Answer the queued calls, which no thread will run; no other call is accepted any more."""
        with self._pool_mutex:
            abandoned = list(self._calls)
            self._calls.clear()
        for call in abandoned:
            call.abandon_threadsafe()
            call.close_body()

    def _free_slots(self) -> int:
        """Return how many more calls may be queued. The caller holds the mutex."""
        if self._is_stopped or self.is_exhausted:
            return 0
        return max(0, self._queue_limit + len(self._idle) + self._wakeup_policy.is_wakeup_pending - len(self._calls))

    def _thread_to_wake(self) -> PoolThread | None:
        """Return the thread to wake for the queue, if any: one at a time. The caller holds the mutex."""
        if self._wakeup_policy.is_wakeup_pending or not self._idle or not self._calls:
            return None
        self._wakeup_policy.is_wakeup_pending = True
        return self._idle.pop()

    def _start_thread(self) -> None:
        pool_thread = PoolThread(self._make_cache())
        pool_thread.thread = start_thread(f"threadserve-wsgi-{len(self._threads) + 1}", self._run_calls, pool_thread)
        self._threads.append(pool_thread)

    def _start_replacement(self) -> bool:
        """Start a thread, with the mutex held; return whether the system allows one more."""
        try:
            self._start_thread()
        except RuntimeError:
            return False
        return True

    # On the pool's threads.

    def _run_calls(self, pool_thread: PoolThread) -> None:
        cache = pool_thread.cache
        while (call := self._next_call(pool_thread)) is not None:
            call.run(cache)
            del call
            if cache.pending_responses and (
                not self._calls
                or not self._wakeup_policy.has_short_calls
                or cache.pending_responses >= MAX_PENDING_RESPONSES
            ):
                cache.flush_wakeup()
        close_database_connections()
        pool_thread.has_ended = True

    def _next_call(self, pool_thread: PoolThread) -> Call | None:
        """Return the next call once there is one, or None when the thread is to end."""
        was_woken = has_returned = False
        while True:
            woken = None
            now = time.monotonic()
            ended_call = pool_thread.call
            self._pool_mutex.lock()
            try:
                if ended_call is not None:
                    self._wakeup_policy.on_call_end(pool_thread.began, now)
                    pool_thread.call = None
                if was_woken:
                    self._wakeup_policy.is_wakeup_pending = False
                if pool_thread.is_timed_out:
                    has_returned = True
                    self._timed_out.remove(pool_thread)
                    if len(self._threads) >= self._size:
                        self._ending = [*(each for each in self._ending if not each.has_ended), pool_thread]
                        break
                    pool_thread.is_timed_out = False
                    self._threads.append(pool_thread)
                if self._calls:
                    call = pool_thread.call = self._calls.popleft()
                    pool_thread.cache.counting_since = pool_thread.began = now
                    self._wakeup_policy.on_call_start(now)
                    self._started += 1
                    if not self._calls:
                        self._has_unchecked_calls = False
                    elif not self._wakeup_policy.has_short_calls or self._has_unchecked_calls:
                        woken = self._thread_to_wake()
                elif self._is_stopped:
                    break
                else:
                    self._idle.append(pool_thread)
            finally:
                self._pool_mutex.unlock()
            # Without the mutex: freeing a call frees other objects with it.
            ended_call = None
            if has_returned:
                has_returned = False
                self._log_return()
            if pool_thread.call is not None:
                if woken is not None:
                    woken.semaphore.release_threadsafe()
                return call
            pool_thread.semaphore.acquire()
            was_woken = True
        if has_returned:
            self._log_return()
        return None

    def _log_return(self) -> None:
        logger.warning(
            "A WSGI thread that had been set aside has come back; %s not.",
            format_count(len(self._timed_out), "has", "have"),
        )

    # On the watchdog's thread.

    def _run_watchdog(self, timeout: float) -> None:
        while not self._stop_event.wait(min(timeout / 4, MAX_CHECK_INTERVAL_SECONDS)):
            try:
                self._check_calls(timeout)
            except Exception as error:
                logger.error("The WSGI threads could not be looked after", exc_info=error)

    def _check_calls(self, timeout: float) -> None:
        limit = time.monotonic() - timeout
        with self._pool_mutex:
            running = [(pool_thread, pool_thread.call) for pool_thread in self._threads if pool_thread.call is not None]
        for pool_thread, call in running:
            if pool_thread.cache.counting_since < limit:
                self._replace_timed_out(pool_thread, call, timeout)
        self._check_exhausted(timeout)

    def _replace_timed_out(self, pool_thread: PoolThread, call: Call, timeout: float) -> None:
        """Replace a thread whose call has timed out, and answer the call; the thread itself cannot be ended."""
        with self._pool_mutex:
            if pool_thread.call is not call or self._is_stopped:
                return
            self._timeouts += 1
            pool_thread.is_timed_out = True
            pool_thread.stuck_since = pool_thread.cache.counting_since
            self._threads.remove(pool_thread)
            self._timed_out.append(pool_thread)
            count = len(self._timed_out)
            is_replaced = len(self._threads) + count < self._max_threads
            if is_replaced:
                is_replaced = self._start_replacement()
            is_last = not self._threads
        call.abandon_threadsafe()
        stack = describe_thread(pool_thread.thread)
        logger.error(
            "A WSGI call has not come back for %s: %s. Its thread is set aside, as %d now %s, %s, and %s",
            format_count(timeout, "second"), call, count, "is" if count == 1 else "are",
            "is replaced" if is_replaced else "is not replaced, for there are too many threads", stack,
        )  # fmt: skip
        if is_last:
            logger.error(
                "All %s stuck. Unless one comes back within %s the process ends.",
                format_count(count, "WSGI thread is", "WSGI threads are"),
                format_count((EXHAUSTED_AFTER_TIMEOUTS - 1) * timeout, "second"),
            )  # fmt: skip

    def _check_exhausted(self, timeout: float) -> None:
        """Close the pool when every thread that it may have has been stuck for several timeouts."""
        with self._pool_mutex:
            if self._threads or self._is_stopped or self.is_exhausted:
                return
            stuck_for = time.monotonic() - max(each.stuck_since for each in self._timed_out)
            if stuck_for < EXHAUSTED_AFTER_TIMEOUTS * timeout:
                return
            self.is_exhausted = True
        self._abandon_queue()


def start_thread(name: str, target: Callable[..., object], *args: object) -> threading.Thread:
    """Start a daemon thread with an empty context."""
    run = contextvars.Context().run
    thread = threading.Thread(target=run, args=(target, *args), name=name, daemon=True)
    thread.start()
    return thread
