"""The pauses before another worker is started, by a clock of the test's."""

import pytest
from support.clock import Clock

from threadserve.workers.backoff import STEADY_SECONDS, StartBackoff


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


def pauses(backoff: StartBackoff, clock: Clock, *, has_served: bool, count: int) -> list[float]:
    """How long it waits after each of so many early ends, in whole seconds."""
    found = []
    for _ in range(count):
        backoff.on_death(clock.now if has_served else None)
        begun = clock.now
        while backoff.is_active:
            clock.elapse(1)
        found.append(clock.now - begun)
    return found


def test_pauses_grow_to_a_bound(clock: Clock) -> None:
    assert pauses(StartBackoff(clock), clock, has_served=True, count=9) == [0, 1, 2, 4, 8, 16, 30, 30, 30]
    assert pauses(StartBackoff(clock), clock, has_served=False, count=7) == [1, 2, 4, 8, 16, 30, 30]


def test_only_growing_pauses_are_told_of_loudly(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    backoff = StartBackoff(clock)
    pauses(backoff, clock, has_served=True, count=2)
    assert not caplog.records
    pauses(backoff, clock, has_served=True, count=1)
    [record] = caplog.records
    assert record.levelname == "CRITICAL"
    assert record.getMessage() == "Child processes end again and again: the next is started in 2 seconds."


def test_who_has_served_for_long_is_replaced_at_once(clock: Clock) -> None:
    backoff = StartBackoff(clock)
    for _ in range(5):
        backoff.on_death(clock.now - STEADY_SECONDS)
        assert not backoff.is_active


def test_a_worker_that_lasts_ends_the_row(clock: Clock) -> None:
    backoff = StartBackoff(clock)
    older = clock.now
    pauses(backoff, clock, has_served=True, count=4)
    newer = clock.now
    clock.now = newer + STEADY_SECONDS - 1
    # It has served all along, while others did not.
    backoff.on_serving(older)
    backoff.on_serving(newer)
    assert pauses(backoff, clock, has_served=True, count=1) == [8]
    newer = clock.now
    clock.elapse(STEADY_SECONDS)
    backoff.on_serving(newer)
    assert pauses(backoff, clock, has_served=True, count=2) == [0, 1]
