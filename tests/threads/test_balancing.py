"""When the balancer has loops give back connections, by loops that publish what the test says."""

import pytest
from support.clock import StallClock

from threadserve.threads import balancing
from threadserve.threads.balancing import (
    CREDIT_TICK_SECONDS,
    MAX_CREDIT,
    MAX_WAITING_SHARE,
    STALL_CHECK_SECONDS,
    STALL_MEMORY_SECONDS,
    STALLED_SECONDS,
    Balancer,
)
from threadserve.threads.handover import MAX_STALL_SECONDS, HandoverQueue
from threadserve.threads.thread_times import CpuTimes

LIGHT = 0.1


class Loop:
    """A loop that turns unless it is blocked; `granted` is what it was granted last."""

    def __init__(self, connections: int = 16) -> None:
        self.handover = HandoverQueue()
        self.is_blocked = False
        self.is_watched = True
        self.requests = 0
        self.in_flight = 0
        self.connections = connections
        self.thread_id = len(THREADS)
        self.spent = CpuTimes(0.0, 0.0)
        THREADS.append(self)
        self.granted: tuple[int, bool] | None = None
        self.asked = 0
        self.released = 0

    def load_threadsafe(self) -> tuple[int, int]:
        return self.in_flight, self.connections

    def requests_threadsafe(self) -> int:
        return self.requests

    def request_wakeup_threadsafe(self) -> None:
        self.asked += 1
        self.handover.request_wakeup()

    def grant_threadsafe(self, credit: int, *, takes_busy: bool) -> None:
        self.granted = credit, takes_busy

    def release_idle_threadsafe(self) -> None:
        self.released += 1

    def turn(self) -> None:
        if not self.is_blocked and self.handover.is_wakeup_pending():
            self.handover.on_wakeup()


THREADS: list[Loop] = []


class Times:
    """What the system counts of a loop's thread."""

    def __init__(self, thread_id: int) -> None:
        self.loop = THREADS[thread_id]

    def read(self) -> CpuTimes:
        return self.loop.spent

    def close(self) -> None:
        self.loop.is_watched = False


class Process:
    """The loops of a process and their balancer, which have as much time as the test gives them."""

    def __init__(self, clock: StallClock, count: int) -> None:
        self.clock = clock
        self.balancer = Balancer()
        self.loops = [Loop() for _ in range(count)]

    def serve(self, seconds: float, *shares: float, waiting: float = 0.0) -> None:
        """So much time passes, in which each loop serves requests, and runs for such a share of it.

        For a share of it the threads wait for a processor.
        """
        for _ in range(round(seconds / STALL_CHECK_SECONDS)):
            for loop, share in zip(self.loops, shares or [LIGHT] * len(self.loops), strict=True):
                loop.requests += not loop.is_blocked
                loop.spent = CpuTimes(
                    loop.spent.running + share * STALL_CHECK_SECONDS, loop.spent.waiting + waiting * STALL_CHECK_SECONDS
                )
            self.clock.elapse(STALL_CHECK_SECONDS)
            self.balancer.check(self.loops)
            for loop in self.loops:
                loop.turn()


@pytest.fixture
def process(clock: StallClock, monkeypatch: pytest.MonkeyPatch) -> Process:
    monkeypatch.setattr(balancing, "time", clock)
    monkeypatch.setattr(balancing, "ThreadTimes", Times)
    clock.elapse(1000.0)
    made = Process(clock, 4)
    made.serve(2 * CREDIT_TICK_SECONDS)
    return made


def granted(process: Process) -> list[tuple[int, bool] | None]:
    return [loop.granted for loop in process.loops]


def test_loops_that_turn_and_have_as_much_to_do_keep_their_connections(process: Process) -> None:
    process.serve(10.0)
    assert granted(process) == [None] * 4
    assert [loop.released for loop in process.loops] == [0] * 4
    assert process.balancer.busier == []
    assert all(loop.asked > 100 for loop in process.loops)


def test_a_stall_has_all_loops_give_back_their_connections(process: Process) -> None:
    process.loops[2].is_blocked = True
    process.serve(STALLED_SECONDS + 2 * STALL_CHECK_SECONDS)
    assert granted(process) == [(MAX_CREDIT, False)] * 4
    assert [loop.released for loop in process.loops] == [1] * 4
    process.serve(1.0)
    assert [loop.released for loop in process.loops] == [1] * 4
    process.loops[2].is_blocked = False
    process.serve(STALL_MEMORY_SECONDS - 1.0)
    assert granted(process) == [(MAX_CREDIT, False)] * 4
    process.serve(1.0 + 2 * CREDIT_TICK_SECONDS)
    assert granted(process) == [(0, True)] * 4


def test_who_waits_for_a_processor_is_not_stalled(process: Process) -> None:
    process.loops[2].is_blocked = True
    process.serve(1.0, waiting=0.9)
    # A tenth of it is more than enough.
    assert granted(process) == [None] * 4
    process.serve(0.2, waiting=0.1)
    assert [loop.released for loop in process.loops] == [1] * 4


def test_little_is_given_back_where_threads_wait_for_processors(process: Process) -> None:
    process.loops[2].is_blocked = True
    process.serve(1.0, waiting=MAX_WAITING_SHARE / 2)
    assert granted(process) == [(MAX_CREDIT // 2, False)] * 4
    process.serve(1.0, waiting=MAX_WAITING_SHARE)
    assert granted(process) == [(0, False)] * 4


def test_loops_that_all_take_long_are_not_stalled(process: Process) -> None:
    for loop in process.loops:
        loop.is_blocked = True
    process.serve(MAX_STALL_SECONDS - STALL_CHECK_SECONDS)
    assert granted(process) == [None] * 4


def test_a_loop_that_has_more_to_do_gives_connections_to_the_others(process: Process) -> None:
    process.serve(2 * CREDIT_TICK_SECONDS, 0.4, 0.1, 0.1, 0.15)
    # Half of what it has too much, rounded up.
    assert granted(process) == [(5, True), None, None, None]
    assert process.balancer.busier == [process.loops[0]]
    process.serve(4 * CREDIT_TICK_SECONDS)
    assert granted(process) == [(0, True), None, None, None]
    assert process.balancer.busier == []


def test_none_that_is_above_the_mean_gets_what_another_gives(process: Process) -> None:
    process.serve(2 * CREDIT_TICK_SECONDS, 0.4, 0.26, 0.1, 0.2)
    assert process.balancer.busier == process.loops[:2]


def test_what_hardly_costs_anything_is_not_worth_the_way(process: Process) -> None:
    process.serve(2 * CREDIT_TICK_SECONDS, 0.008, 0.002, 0.002, 0.002)
    assert granted(process) == [None] * 4


def test_the_only_connection_of_a_loop_stays_however_busy_it_is(process: Process) -> None:
    process.loops[0].connections = 1
    process.serve(10.0, 0.9, 0.1, 0.1, 0.1)
    assert granted(process) == [None] * 4
    assert process.balancer.busier == []


def test_what_does_not_help_is_tried_less_and_less(process: Process) -> None:
    tried = 0
    for _ in range(round(60.0 / CREDIT_TICK_SECONDS)):
        process.loops[0].granted = None
        process.serve(CREDIT_TICK_SECONDS, 0.9, 0.1, 0.1, 0.1)
        grant = process.loops[0].granted
        tried += grant is not None and grant[0] > 0
    # After 0.25, 0.75, 1.75, ... seconds.
    assert 6 <= tried <= 10
    process.serve(4 * CREDIT_TICK_SECONDS)
    process.serve(2 * CREDIT_TICK_SECONDS, 0.9, 0.1, 0.1, 0.1)
    assert process.loops[0].granted is not None
    assert process.loops[0].granted[0] > 0


def test_a_stall_makes_no_loop_busier(process: Process) -> None:
    process.loops[3].is_blocked = True
    process.serve(2 * CREDIT_TICK_SECONDS, 0.4, 0.1, 0.1, 0.0)
    assert granted(process) == [(MAX_CREDIT, False)] * 4
    assert process.balancer.busier == []


def test_loops_that_serve_nothing_are_left_alone(process: Process) -> None:
    def asked() -> int:
        process.clock.elapse(CREDIT_TICK_SECONDS)
        process.balancer.check(process.loops)
        for loop in process.loops:
            loop.turn()
        return sum(loop.asked for loop in process.loops)

    for _ in range(3):
        asked()
    before = asked()
    assert asked() == before
    # With a request in flight they are looked after, though less often.
    process.loops[0].in_flight = 1
    assert asked() == before + 4


def test_the_successor_of_a_loop_has_times_of_its_own(process: Process) -> None:
    process.serve(2 * CREDIT_TICK_SECONDS, 0.4, 0.4, 0.4, 0.4)
    dead, process.loops[1] = process.loops[1], Loop()
    process.serve(2 * CREDIT_TICK_SECONDS, 0.4, 0.4, 0.4, 0.4)
    assert granted(process) == [None] * 4
    assert [loop.is_watched for loop in (dead, *process.loops)] == [False, True, True, True, True]
    process.balancer.close()
    assert not any(loop.is_watched for loop in process.loops)
