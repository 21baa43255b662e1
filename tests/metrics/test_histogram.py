"""Histograms, as the thread that adds to them and others see them."""

import threading
from itertools import pairwise

import pytest
from support.waiting import DEADLINE, wait_until

from threadserve.metrics.histogram import DURATION_BOUNDS_SECONDS, Histogram
from threadserve.metrics.loop_metrics import MAX_SLOW_REQUESTS, LoopCounts, LoopMetrics

BOUNDS = (0.1, 1.0, 5.0)


def test_a_value_counts_for_the_first_bound_that_is_not_below_it() -> None:
    histogram = Histogram(BOUNDS)
    for value in (0.0, 0.05, 0.1, 0.100001, 1.0, 4.9, 5.0, 5.1, 1e9):
        histogram.add(value)
    read = histogram.read_threadsafe()
    assert (read.bounds, read.counts) == (BOUNDS, (3, 2, 2, 2))
    assert read.total == pytest.approx(0.05 + 0.1 + 0.100001 + 1.0 + 4.9 + 5.0 + 5.1 + 1e9)


def test_nothing_has_been_counted_at_first() -> None:
    read = Histogram().read_threadsafe()
    bounds = DURATION_BOUNDS_SECONDS
    assert (read.bounds, read.counts, read.total) == (bounds, (0,) * (len(bounds) + 1), 0)
    assert all(one < next_one for one, next_one in pairwise(bounds))


def test_what_was_read_does_not_change() -> None:
    histogram = Histogram(BOUNDS)
    histogram.add(2.0)
    read = histogram.read_threadsafe()
    histogram.add(2.0)
    assert (read.counts, read.total) == ((0, 0, 1, 0), 2.0)
    assert histogram.read_threadsafe().counts == (0, 0, 2, 0)


def test_the_sum_of_two() -> None:
    one, other = Histogram(BOUNDS), Histogram(BOUNDS)
    one.add(0.5)
    other.add(0.5)
    other.add(7.0)
    both = one.read_threadsafe() + other.read_threadsafe()
    assert (both.bounds, both.counts, both.total) == (BOUNDS, (0, 2, 0, 1), 8.0)


def test_those_of_other_bounds_are_not_added() -> None:
    with pytest.raises(ValueError, match="zip"):
        _ = Histogram(BOUNDS).read_threadsafe() + Histogram().read_threadsafe()


def test_reading_while_another_thread_adds() -> None:
    histogram = Histogram(BOUNDS)
    enough = threading.Event()
    added: list[int] = []

    def add() -> None:
        count = 0
        while not enough.is_set():
            histogram.add(0.5)
            count += 1
        added.append(count)

    adding = threading.Thread(target=add)
    adding.start()
    try:
        wait_until(lambda: histogram.read_threadsafe().counts[1], "the first value")
        before = 0
        for _ in range(5000):
            read = histogram.read_threadsafe()
            assert before <= read.counts[1] == sum(read.counts)
            # The last value may have been counted and not yet added.
            assert (before - 1) * 0.5 <= read.total
            before = read.counts[1]
    finally:
        enough.set()
        adding.join(DEADLINE)
    read = histogram.read_threadsafe()
    assert ([read.counts[1]], read.total) == (added, added[0] * 0.5)


def test_slow_requests_are_read_while_others_are_added() -> None:
    metrics = LoopMetrics()
    enough = threading.Event()

    def add() -> None:
        number = 0
        while not enough.is_set():
            metrics.on_slow(str(number), "1.1", 200, 2.0, 1.0)
            number += 1

    adding = threading.Thread(target=add)
    adding.start()
    try:
        wait_until(lambda: len(metrics.list_slow_threadsafe()) == MAX_SLOW_REQUESTS, "the first ones")
        for _ in range(5000):
            numbers = [int(each.request) for each in metrics.list_slow_threadsafe()]
            assert numbers == list(range(numbers[0], numbers[0] + MAX_SLOW_REQUESTS))
    finally:
        enough.set()
        adding.join(DEADLINE)


def test_counts_of_loops_are_added_one_by_one() -> None:
    loops = [LoopMetrics(number) for number in (1, 2)]
    for number, metrics in enumerate(loops, 1):
        metrics.on_response(204, 0.5, 0.25)
        metrics.on_response(500, 0.5, 0.25)
        metrics.on_refusal(400)
        metrics.on_refusal(430 + number)
        for name in ("received", "sent", "accepted", "exhaustions", "websockets", "tls_handshakes", "tls_failures"):
            setattr(metrics, name, number * 10 + len(name))
        metrics.queue_time.add(1.0)
        metrics.accept_to_app.add(2.0)
    counts = sum([metrics.read_threadsafe() for metrics in loops], LoopCounts())
    assert counts.requests == (0, 0, 2, 0, 0, 2, 0, 0, 0, 0)
    assert counts.refusals == {400: 2, 431: 1, 432: 1}
    numbers = (counts.received, counts.sent, counts.accepted, counts.exhaustions, counts.websockets)
    assert numbers == (30 + 2 * 8, 30 + 2 * 4, 30 + 2 * 8, 30 + 2 * 11, 30 + 2 * 10)
    assert (counts.tls_handshakes, counts.tls_failures) == (30 + 2 * 14, 30 + 2 * 12)
    histograms = (counts.duration, counts.first_byte, counts.queue_time, counts.accept_to_app)
    assert [(sum(each.counts), each.total) for each in histograms] == [(4, 2.0), (4, 1.0), (2, 2.0), (2, 4.0)]


def test_the_last_slow_requests_are_kept() -> None:
    metrics = LoopMetrics(3)
    for number in range(MAX_SLOW_REQUESTS + 5):
        metrics.on_slow(f"GET /{number}?a=b", "1.1", 200, 2.0, 1.0)
    slow = metrics.list_slow_threadsafe()
    assert [each.request for each in slow] == [f"GET /{number}" for number in range(5, MAX_SLOW_REQUESTS + 5)]
    assert {(each.status, each.seconds, each.first_byte, each.thread) for each in slow} == {(200, 2.0, 1.0, 3)}
