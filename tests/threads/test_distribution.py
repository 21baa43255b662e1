"""Which loop gets a connection: the choosers, and the hand-over that tells which loop is stalled."""

import threading
from collections.abc import Iterator

import pytest
from support.clock import StallClock
from support.waiting import DEADLINE

from threadserve.listening.accepted import AcceptedSocket
from threadserve.threads.distribution import make_distributor
from threadserve.threads.handover import MAX_STALL_SECONDS, STALL_FACTOR, STALL_SECONDS, HandoverQueue, find_stalled


class Loop:
    """A loop with a certain load."""

    def __init__(self, exchanges: int = 0, connections: int = 0) -> None:
        self.load = exchanges, connections
        self.handover = HandoverQueue()

    def load_threadsafe(self) -> tuple[int, int]:
        return self.load


@pytest.fixture
def sockets() -> Iterator[list[AcceptedSocket]]:
    pairs = [AcceptedSocket() for _ in range(3)]
    yield pairs
    for each in pairs:
        each.close()


def test_least_busy_takes_the_fewest_requests_in_flight() -> None:
    loops = [Loop(2, 2), Loop(1, 9), Loop(3, 3)]
    assert make_distributor("least-busy")(loops) is loops[1]


def test_least_busy_takes_the_fewest_connections_among_equals() -> None:
    loops = [Loop(1, 5), Loop(1, 3), Loop(1, 4), Loop(2, 0)]
    assert make_distributor("least-busy")(loops) is loops[1]


def test_least_busy_takes_turns_among_equals() -> None:
    loops, choose = [Loop(0, 0), Loop(1, 0), Loop(0, 0)], make_distributor("least-busy")
    assert {loops.index(choose(loops)) for _ in range(2)} == {0, 2}


def test_round_robin_takes_turns() -> None:
    loops, choose = [Loop(9, 9), Loop(0, 0), Loop(5, 5)], make_distributor("round-robin")
    chosen = [loops.index(choose(loops)) for _ in range(6)]
    assert sorted(chosen[:3]) == [0, 1, 2]
    assert chosen[3:] == chosen[:3]


def test_round_robin_goes_on_when_a_loop_is_missing() -> None:
    loops, choose = [Loop(0, 0) for _ in range(3)], make_distributor("round-robin")
    for _ in range(4):
        choose(loops)
    assert {loops.index(choose(loops[:2])) for _ in range(2)} == {0, 1}


def turn(loop: Loop) -> None:
    """The loop has a turn, and takes all that it was given."""
    loop.handover.on_wakeup()
    loop.handover.take_all()


def test_a_loop_that_takes_in_time_is_not_stalled(sockets: list[AcceptedSocket], clock: StallClock) -> None:
    loops = [Loop(), Loop()]
    handover = loops[0].handover
    assert find_stalled(loops) == []
    handover.put(sockets[0])
    assert len(handover) == 1
    handover.on_wakeup()
    assert handover.take() is sockets[0]
    assert handover.take() is None
    clock.pass_stall()
    assert find_stalled(loops) == []


def test_a_stalled_loop_stays_stalled_until_its_next_turn(sockets: list[AcceptedSocket], clock: StallClock) -> None:
    loops = [Loop(), Loop()]
    handover = loops[0].handover
    for connection in sockets:
        handover.put(connection)
    assert find_stalled(loops) == []
    clock.pass_stall()
    assert find_stalled(loops) == loops[:1]
    assert handover.take_all() == sockets
    assert find_stalled(loops) == loops[:1]
    # What it is given meanwhile, since nobody else takes it, is no sign of life.
    handover.put(sockets[0])
    assert find_stalled(loops) == loops[:1]
    turn(loops[0])
    assert find_stalled(loops) == []
    handover.put(sockets[0])
    assert find_stalled(loops) == []


def test_a_loop_that_keeps_up_is_not_stalled_though_there_is_always_something_to_take(
    sockets: list[AcceptedSocket], clock: StallClock
) -> None:
    loops = [Loop(), Loop()]
    handover = loops[0].handover
    handover.put(sockets[0])
    clock.pass_stall()
    assert find_stalled(loops) == loops[:1]
    handover.on_wakeup()
    # Given while the first still lies there, in the middle of the loop's turn.
    handover.put(sockets[1])
    handover.take()
    assert find_stalled(loops) == []


def test_loops_that_are_all_late_are_busy(sockets: list[AcceptedSocket], clock: StallClock) -> None:
    loops = [Loop() for _ in range(3)]
    for loop in loops:
        loop.handover.put(sockets[0])
        clock.elapse(STALL_SECONDS)
    clock.elapse(2 * STALL_SECONDS)
    assert find_stalled(loops) == []
    # The first of them that turns says how long that takes.
    turn(loops[0])
    assert find_stalled(loops) == []


def test_a_loop_is_stalled_when_it_takes_far_longer_than_the_quickest(
    sockets: list[AcceptedSocket], clock: StallClock
) -> None:
    blocked, quick, slow = loops = [Loop() for _ in range(3)]
    for loop, seconds in ((slow, 0.04), (quick, 0.02)):
        loop.handover.put(sockets[0])
        clock.elapse(seconds)
        turn(loop)
    blocked.handover.put(sockets[0])
    clock.elapse(STALL_FACTOR * 0.02 - 0.001)
    assert find_stalled(loops) == []
    clock.elapse(0.002)
    assert find_stalled(loops) == [blocked]


def test_one_quick_turn_of_a_busy_loop_may_be_luck(sockets: list[AcceptedSocket], clock: StallClock) -> None:
    loops = [Loop(), Loop()]
    for seconds in (0.02, 0.0):
        loops[0].handover.put(sockets[0])
        clock.elapse(seconds)
        turn(loops[0])
    loops[1].handover.put(sockets[1])
    clock.elapse(0.02)
    assert find_stalled(loops) == []
    loops[0].handover.put(sockets[0])
    turn(loops[0])
    assert find_stalled(loops) == loops[1:]


def test_a_loop_that_others_were_as_slow_as_is_stalled_in_the_end(
    sockets: list[AcceptedSocket], clock: StallClock
) -> None:
    loops = [Loop(), Loop()]
    for loop in loops:
        loop.handover.put(sockets[0])
    clock.elapse(MAX_STALL_SECONDS)
    turn(loops[0])
    assert find_stalled(loops) == []
    clock.elapse(0.001)
    assert find_stalled(loops) == loops[1:]


def test_what_is_taken_back_is_no_longer_there(sockets: list[AcceptedSocket]) -> None:
    handover = HandoverQueue()
    handover.put(sockets[0])
    assert handover.withdraw(sockets[0])
    assert not handover.withdraw(sockets[0])
    assert len(handover) == 0


def test_two_threads_that_take_never_get_the_same_connection() -> None:
    handover, count, barrier = HandoverQueue(), 5_000, threading.Barrier(2)
    given = [AcceptedSocket() for _ in range(20)]
    taken: list[list[AcceptedSocket]] = [[], []]

    def take(mine: list[AcceptedSocket]) -> None:
        barrier.wait(DEADLINE)
        while sum(map(len, taken)) < count:
            if (connection := handover.take()) is not None:
                mine.append(connection)

    threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    for number in range(count):
        handover.put(given[number % len(given)])
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    for number, connection in enumerate(given):
        connection.close()
        assert taken[0].count(connection) + taken[1].count(connection) == count // len(given), number
