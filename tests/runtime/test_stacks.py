"""Where a thread is that does not come back: told by itself, and without disturbing it."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.waiting import DEADLINE, wait_until

from threadserve.runtime import stacks
from threadserve.runtime.stacks import describe_stack


@contextmanager
def running(work: Callable[[], object]) -> Iterator[threading.Thread]:
    """A thread at some work, which the test ends."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(DEADLINE)
    assert not thread.is_alive()


def test_a_thread_that_waits_goes_on_waiting() -> None:
    go_on = threading.Event()
    came: list[bool] = []

    def wait_for_it() -> None:
        came.append(go_on.wait(2 * DEADLINE))

    with running(wait_for_it) as thread:
        for _ in range(50):
            wait_until(lambda: "in wait\n" in describe_stack(thread), "the thread to wait")
            told = describe_stack(thread)
            assert told.startswith("is at:\n")
            assert f'File "{__file__}"' in told
            assert "in wait_for_it\n    came.append(go_on.wait(2 * DEADLINE))\n" in told
            # As in a traceback, the innermost comes last.
            assert told.index("in _bootstrap\n") < told.index("in wait_for_it\n") < told.index("in wait\n")
        assert came == []
        go_on.set()
    assert came == [True]


def test_a_thread_that_computes_goes_on_computing() -> None:
    stop = threading.Event()
    results: set[int] = set()

    def compute(number: int) -> int:
        return sum(number * each for each in range(100))

    def go_on() -> None:
        while not stop.is_set():
            results.add(compute(3))

    with running(go_on) as thread:
        told = [describe_stack(thread) for _ in range(100)]
        stop.set()
    # A function that is just being entered may be missing, not what has called it.
    assert [each for each in told if "in go_on\n" not in each] == []
    assert results == {compute(3)}


def test_a_system_call_is_made_again() -> None:
    slept: list[float] = []

    def sleep() -> None:
        began = time.monotonic()
        time.sleep(1.0)
        slept.append(time.monotonic() - began)

    with running(sleep) as thread:
        told = [describe_stack(thread) for _ in range(5)]
    # It may be over before all of them are told.
    assert "in sleep\n    time.sleep(1.0)" in told[0]
    assert slept[0] >= 1.0


def test_a_stack_that_is_too_deep_is_told_in_part() -> None:
    go_on, is_deep = threading.Event(), threading.Event()

    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        else:
            go_on.wait(2 * DEADLINE)

    def go_deep() -> None:
        is_deep.set()
        deep(300)

    with running(go_deep) as thread:
        assert is_deep.wait(DEADLINE)
        wait_until(lambda: "in wait\n" in describe_stack(thread), "the thread to wait")
        told = describe_stack(thread)
        go_on.set()
    assert "in deep\n" in told
    assert "in wait\n" in told


def test_a_thread_that_takes_no_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "MAX_STACK_WAIT_SECONDS", 0.1)
    is_blocked, go_on = threading.Event(), threading.Event()

    def block() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [stacks.STACK_SIGNAL])
        is_blocked.set()
        go_on.wait(2 * DEADLINE)

    with running(block) as thread:
        assert is_blocked.wait(DEADLINE)
        assert describe_stack(thread) == "where it is cannot be told: it takes no signal."
        go_on.set()


def test_a_handler_of_the_applications_own_is_left_alone() -> None:
    go_on = threading.Event()
    taken: list[int] = []
    before = signal.signal(stacks.STACK_SIGNAL, lambda number, frame: taken.append(number))
    try:
        with running(lambda: go_on.wait(2 * DEADLINE)) as thread:
            assert describe_stack(thread) == "where it is cannot be told, for something else uses SIGURG."
            signal.raise_signal(stacks.STACK_SIGNAL)
            go_on.set()
    finally:
        signal.signal(stacks.STACK_SIGNAL, before)
    assert taken == [stacks.STACK_SIGNAL]


def test_a_thread_that_has_ended() -> None:
    with running(lambda: None) as thread:
        thread.join(DEADLINE)
        assert describe_stack(thread) == "has ended."
    assert describe_stack(threading.Thread()) == "has ended."
