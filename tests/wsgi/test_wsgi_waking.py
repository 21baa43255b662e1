"""When the pool wakes a thread that sleeps for a call that waits."""

from threadserve.wsgi.waking import BACK_SOON, LONGEST_COUNTED, QUICK, WakingPolicy

MANY = 200


def call(policy: WakingPolicy, began: float, seconds: float) -> None:
    """A call from its begin to its end."""
    policy.on_began(began)
    policy.on_ended(began, began + seconds)


def quick_policy() -> WakingPolicy:
    """A policy that has seen many quick calls, before the time 1."""
    policy = WakingPolicy()
    for number in range(MANY):
        call(policy, number / MANY, QUICK / 10)
    return policy


def test_nothing_is_known_at_first() -> None:
    policy = WakingPolicy()
    assert not policy.is_quick
    policy.on_began(1.0)
    assert not policy.is_taken_soon(1.0)


def test_a_call_is_left_to_a_thread_that_is_at_a_quick_one() -> None:
    policy = quick_policy()
    assert policy.is_quick
    assert not policy.is_taken_soon(1.0), "every thread sleeps"
    policy.on_began(2.0)
    assert policy.is_taken_soon(2.0)
    assert policy.is_taken_soon(2.0 + BACK_SOON / 2)
    assert not policy.is_taken_soon(2.0 + 2 * BACK_SOON), "it should have been back"
    policy.on_ended(2.0, 2.0 + QUICK / 10)
    assert not policy.is_taken_soon(2.0 + QUICK / 10)


def test_of_several_threads_the_one_that_began_last_counts() -> None:
    policy = quick_policy()
    policy.on_began(2.0)
    policy.on_began(3.0)
    policy.on_ended(2.0, 3.0)
    assert policy.is_taken_soon(3.0)


def test_slow_calls_are_noticed_and_forgotten() -> None:
    policy = quick_policy()
    slow = 0
    while policy.is_quick:
        call(policy, 2.0 + slow, 1.0)
        slow += 1
    # One call that is slow says nothing yet of the others.
    assert 1 < slow < MANY / 10
    for number in range(MANY):
        call(policy, 2000.0 + number, 60.0)
    quick = 0
    while not policy.is_quick:
        call(policy, 20_000.0 + quick, QUICK / 10)
        quick += 1
    assert quick < MANY / 4, "they count as no more than LONGEST_COUNTED, however long they took"
    assert LONGEST_COUNTED > QUICK


def test_a_call_that_was_held_up_tells_of_slow_ones() -> None:
    policy = quick_policy()
    policy.on_began(2.0)
    policy.on_held_up()
    assert not policy.is_quick
    assert not policy.is_taken_soon(2.0)
