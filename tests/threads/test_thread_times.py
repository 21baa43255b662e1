"""What the system counts of a thread's time."""

import sys
import threading
import time
from pathlib import Path

import pytest
from support.waiting import DEADLINE, wait_until

from threadserve.threads.thread_times import CpuTimes, ThreadTimes

HAS_TIMES = Path("/proc/self/schedstat").exists()


@pytest.mark.skipif(not HAS_TIMES, reason="the system does not count it")
def test_a_thread_that_runs_has_run() -> None:
    times = ThreadTimes(threading.get_native_id())
    try:
        before = times.read()
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass
        assert times.read().running - before.running >= 0.04
        assert times.read().waiting >= before.waiting
    finally:
        times.close()
    assert times.read() == CpuTimes(0.0, 0.0)


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
        before = times.read()
        time.sleep(0.1)
        spent = times.read()
        assert spent.running - before.running < 0.05
    finally:
        release.set()
        thread.join(DEADLINE)
    # It has ended.
    wait_until(lambda: times.read() == CpuTimes(0.0, 0.0), "the thread to be gone")
    times.close()


def test_a_thread_that_there_is_not_spends_nothing() -> None:
    times = ThreadTimes(sys.maxsize)
    assert times.read() == CpuTimes(0.0, 0.0)
    times.close()
