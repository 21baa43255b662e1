"""What the system counts of a thread's time."""

import sys
import threading
import time
from pathlib import Path

import pytest
from support.waiting import DEADLINE, wait_until

from threadserve.threads.thread_times import Spent, ThreadTimes

HAS_TIMES = Path("/proc/self/schedstat").exists()


@pytest.mark.skipif(not HAS_TIMES, reason="the system does not count it")
def test_a_thread_that_runs_has_run() -> None:
    times = ThreadTimes(threading.get_native_id())
    try:
        before = times.look()
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass
        assert times.look().running - before.running >= 0.04
        assert times.look().waiting >= before.waiting
    finally:
        times.close()
    assert times.look() == Spent(0.0, 0.0)


@pytest.mark.skipif(not HAS_TIMES, reason="the system does not count it")
def test_a_thread_that_waits_for_something_else_spends_nothing() -> None:
    release, ids = threading.Event(), []

    def wait() -> None:
        ids.append(threading.get_native_id())
        release.wait(DEADLINE)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        wait_until(lambda: ids, "the thread to run")
        times = ThreadTimes(ids[0])
        before = times.look()
        time.sleep(0.1)
        spent = times.look()
        assert spent.running - before.running < 0.05
    finally:
        release.set()
        thread.join(DEADLINE)
    # It has ended.
    wait_until(lambda: times.look() == Spent(0.0, 0.0), "the thread to be gone")
    times.close()


def test_a_thread_that_there_is_not_spends_nothing() -> None:
    times = ThreadTimes(sys.maxsize)
    assert times.look() == Spent(0.0, 0.0)
    times.close()
