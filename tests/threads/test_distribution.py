"""Which loop gets a connection: the choosers, and the hand-over that tells which loop is stalled."""

import socket
import threading
from collections.abc import Iterator

import pytest
from support.stall_clock import StallClock
from support.waiting import DEADLINE

from threadserve.threads.distribution import HandOver, chooser


class Loop:
    """A loop with a certain load."""

    def __init__(self, exchanges: int, connections: int) -> None:
        self.load = exchanges, connections

    def load_threadsafe(self) -> tuple[int, int]:
        return self.load


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    pairs = [socket.socket() for _ in range(3)]
    yield pairs
    for each in pairs:
        each.close()


def test_least_busy_takes_the_fewest_requests_in_flight() -> None:
    loops = [Loop(2, 2), Loop(1, 9), Loop(3, 3)]
    assert chooser("least-busy")(loops) is loops[1]


def test_least_busy_takes_the_fewest_connections_among_equals() -> None:
    loops = [Loop(1, 5), Loop(1, 3), Loop(1, 4), Loop(2, 0)]
    assert chooser("least-busy")(loops) is loops[1]


def test_least_busy_takes_turns_among_equals() -> None:
    loops, choose = [Loop(0, 0), Loop(1, 0), Loop(0, 0)], chooser("least-busy")
    assert {loops.index(choose(loops)) for _ in range(2)} == {0, 2}


def test_round_robin_takes_turns() -> None:
    loops, choose = [Loop(9, 9), Loop(0, 0), Loop(5, 5)], chooser("round-robin")
    chosen = [loops.index(choose(loops)) for _ in range(6)]
    assert sorted(chosen[:3]) == [0, 1, 2]
    assert chosen[3:] == chosen[:3]


def test_round_robin_goes_on_when_a_loop_is_missing() -> None:
    loops, choose = [Loop(0, 0) for _ in range(3)], chooser("round-robin")
    for _ in range(4):
        choose(loops)
    assert {loops.index(choose(loops[:2])) for _ in range(2)} == {0, 1}


def test_a_loop_that_takes_in_time_is_not_stalled(sockets: list[socket.socket]) -> None:
    handed = HandOver()
    assert not handed.is_stalled()
    handed.give(sockets[0])
    assert len(handed) == 1
    handed.begin_turn()
    assert handed.take() is sockets[0]
    assert handed.take() is None
    assert not handed.is_stalled()


def test_a_stalled_loop_stays_stalled_until_its_next_turn(sockets: list[socket.socket], clock: StallClock) -> None:
    handed = HandOver()
    for connection in sockets:
        handed.give(connection)
    assert not handed.is_stalled()
    clock.pass_stall()
    assert handed.is_stalled()
    assert handed.take_all() == sockets
    assert handed.is_stalled()
    handed.begin_turn()
    assert not handed.is_stalled()
    handed.give(sockets[0])
    assert not handed.is_stalled()


def test_a_loop_that_keeps_up_is_not_stalled_though_there_is_always_something_to_take(
    sockets: list[socket.socket], clock: StallClock
) -> None:
    handed = HandOver()
    handed.give(sockets[0])
    clock.pass_stall()
    assert handed.is_stalled()
    handed.begin_turn()
    # Given while the first still lies there, in the middle of the loop's turn.
    handed.give(sockets[1])
    handed.take()
    assert not handed.is_stalled()


def test_what_is_taken_back_is_no_longer_there(sockets: list[socket.socket]) -> None:
    handed = HandOver()
    handed.give(sockets[0])
    assert handed.take_back(sockets[0])
    assert not handed.take_back(sockets[0])
    assert len(handed) == 0


def test_two_threads_that_take_never_get_the_same_connection() -> None:
    handed, count, barrier = HandOver(), 5_000, threading.Barrier(2)
    given = [socket.socket() for _ in range(20)]
    taken: list[list[socket.socket]] = [[], []]

    def take(mine: list[socket.socket]) -> None:
        barrier.wait(DEADLINE)
        while sum(map(len, taken)) < count:
            if (connection := handed.take()) is not None:
                mine.append(connection)

    threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    for number in range(count):
        handed.give(given[number % len(given)])
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    for number, connection in enumerate(given):
        connection.close()
        assert taken[0].count(connection) + taken[1].count(connection) == count // len(given), number
