"""When the pool wakes a thread that sleeps for a call that waits."""

from threadserve.wsgi.wakeup_policy import (
    EXPECTED_RETURN_SECONDS,
    MAX_COUNTED_SECONDS,
    SHORT_CALL_SECONDS,
    WakeupPolicy,
)

MANY = 200


def call(policy: WakeupPolicy, began: float, seconds: float) -> None:
    """A call from its begin to its end."""
    policy.on_call_start(began)
    policy.on_call_end(began, began + seconds)


def quick_policy() -> WakeupPolicy:
    """A policy that has seen many quick calls, before the time 1."""
    policy = WakeupPolicy()
    for number in range(MANY):
        call(policy, number / MANY, SHORT_CALL_SECONDS / 10)
    return policy


def test_nothing_is_known_at_first() -> None:
    policy = WakeupPolicy()
    assert not policy.has_short_calls
    policy.on_call_start(1.0)
    assert not policy.expects_return(1.0)


def test_a_call_is_left_to_a_thread_that_is_at_a_quick_one() -> None:
    policy = quick_policy()
    assert policy.has_short_calls
    assert not policy.expects_return(1.0), "every thread sleeps"
    policy.on_call_start(2.0)
    assert policy.expects_return(2.0)
    assert policy.expects_return(2.0 + EXPECTED_RETURN_SECONDS / 2)
    assert not policy.expects_return(2.0 + 2 * EXPECTED_RETURN_SECONDS), "it should have been back"
    policy.on_call_end(2.0, 2.0 + SHORT_CALL_SECONDS / 10)
    assert not policy.expects_return(2.0 + SHORT_CALL_SECONDS / 10)


def test_of_several_threads_the_one_that_began_last_counts() -> None:
    policy = quick_policy()
    policy.on_call_start(2.0)
    policy.on_call_start(3.0)
    policy.on_call_end(2.0, 3.0)
    assert policy.expects_return(3.0)


def test_slow_calls_are_noticed_and_forgotten() -> None:
    policy = quick_policy()
    slow = 0
    while policy.has_short_calls:
        call(policy, 2.0 + slow, 1.0)
        slow += 1
    # One call that is slow says nothing yet of the others.
    assert 1 < slow < MANY / 10
    for number in range(MANY):
        call(policy, 2000.0 + number, 60.0)
    quick = 0
    while not policy.has_short_calls:
        call(policy, 20_000.0 + quick, SHORT_CALL_SECONDS / 10)
        quick += 1
    assert quick < MANY / 4, "they count as no more than MAX_COUNTED_SECONDS, however long they took"
    assert MAX_COUNTED_SECONDS > SHORT_CALL_SECONDS


def test_a_call_that_was_held_up_tells_of_slow_ones() -> None:
    policy = quick_policy()
    policy.on_call_start(2.0)
    policy.on_delay()
    assert not policy.has_short_calls
    assert not policy.expects_return(2.0)
