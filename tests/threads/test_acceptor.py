"""The acceptor by itself, stepped by the test, with loops that take connections only when they are told to."""

import errno
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from support.clock import StallClock
from support.waiting import DEADLINE

from threadserve.errors import MailboxClosed
from threadserve.listening.accepted import AcceptedSocket
from threadserve.listening.tcp import SharedListener
from threadserve.threads import acceptor as acceptor_module
from threadserve.threads.acceptor import Acceptor
from threadserve.threads.distribution import make_distributor
from threadserve.threads.handover import HandoverQueue

STEP = DEADLINE


class Loop:
    """A loop that is stalled until `turn`."""

    def __init__(self) -> None:
        self.handover = HandoverQueue()
        self.taken: list[socket.socket] = []
        self.closed = False
        self.thread_id = threading.get_native_id()

    def load_threadsafe(self) -> tuple[int, int]:
        # Never mind what is handed: the choice falls on the same loop again and again.
        return 0, 0

    def requests_threadsafe(self) -> int:
        return 0

    def request_wakeup_threadsafe(self) -> None:
        self.handover.request_wakeup()

    def grant_threadsafe(self, credit: int, *, takes_busy: bool) -> None:
        pass

    def release_idle_threadsafe(self) -> None:
        pass

    def hand_over_threadsafe(self, connection: AcceptedSocket) -> None:
        if self.closed:
            raise MailboxClosed
        self.handover.put(connection)

    def turn(self) -> None:
        self.handover.on_wakeup()
        self.taken += self.handover.take_all()


@pytest.fixture
def loops() -> Iterator[list[Loop]]:
    made = [Loop(), Loop()]
    yield made
    for loop in made:
        for connection in [*loop.taken, *loop.handover.take_all()]:
            connection.close()


@pytest.fixture
def acceptor() -> Iterator[Acceptor]:
    made = Acceptor(make_distributor("least-busy"))
    yield made
    made.close()


Dial = Callable[[], socket.socket]


@pytest.fixture
def dial(acceptor: Acceptor) -> Iterator[Dial]:
    """Opens a connection to the acceptor."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    address = listener.getsockname()
    acceptor.listen([listener])
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        opened.append(socket.create_connection(address))
        return opened[-1]

    yield connect
    for client in opened:
        client.close()


def step_until(acceptor: Acceptor, condition: Callable[[], bool]) -> None:
    """Steps until `condition` holds."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        acceptor.step(0.01)


def is_from(taken: socket.socket, client: socket.socket) -> bool:
    return bool(taken.getpeername() == client.getsockname())


def test_what_a_stalled_loop_leaves_lying_is_given_to_another(
    acceptor: Acceptor, loops: list[Loop], dial: Dial, clock: StallClock
) -> None:
    stalled, free = loops
    acceptor.loops += loops
    client = dial()
    acceptor.step(STEP)
    assert len(stalled.handover) == 1
    begun = time.monotonic()
    acceptor.step(STEP)
    assert len(stalled.handover) == 1
    clock.pass_stall()
    acceptor.step(STEP)
    assert time.monotonic() - begun < STEP / 2
    free.turn()
    assert len(stalled.handover) == 0
    assert is_from(free.taken[0], client)


def test_a_stalled_loop_gets_nothing_until_its_next_turn(
    acceptor: Acceptor, loops: list[Loop], dial: Dial, clock: StallClock
) -> None:
    stalled, free = loops
    acceptor.loops += loops
    dial()
    step_until(acceptor, lambda: len(stalled.handover) == 1)
    clock.pass_stall()
    step_until(acceptor, lambda: len(free.handover) == 1)
    for _ in range(3):
        free.turn()
        dial()
        acceptor.step(STEP)
        assert len(stalled.handover) == 0
    free.turn()
    stalled.turn()
    dial()
    dial()
    step_until(acceptor, lambda: len(stalled.handover) >= 1)


def test_what_lies_before_a_stalled_loop_goes_to_others_one_at_a_time(
    acceptor: Acceptor, loops: list[Loop], dial: Dial, clock: StallClock
) -> None:
    stalled, free, other = loops = [*loops, Loop()]
    acceptor.loops.append(stalled)
    for _ in range(4):
        dial()
    step_until(acceptor, lambda: len(stalled.handover) == 4)
    acceptor.loops += [free, other]
    clock.pass_stall()
    for left in (2, 2, 2):
        acceptor.step(0.01)
        assert [len(loop.handover) for loop in loops] == [left, 1, 1]
    free.turn()
    acceptor.step(0.01)
    assert [len(loop.handover) for loop in loops] == [1, 1, 1]
    other.turn()
    acceptor.step(0.01)
    assert [len(loop.handover) for loop in loops] == [0, 1, 1]
    for loop in loops:
        loop.turn()
    assert [len(loop.taken) for loop in loops] == [0, 2, 2]
    for connection in other.taken:
        connection.close()


def test_the_first_of_busy_loops_to_turn_gets_no_more_than_its_share(
    acceptor: Acceptor, loops: list[Loop], dial: Dial, clock: StallClock
) -> None:
    acceptor.loops += loops

    def come(number: int) -> None:
        lying = sum(len(loop.handover) for loop in loops)
        for _ in range(number):
            dial()
        step_until(acceptor, lambda: sum(len(loop.handover) for loop in loops) == lying + number)

    come(4)
    clock.pass_stall()
    acceptor.step(0.01)
    loops[0].turn()
    come(6)
    acceptor.step(0.01)
    assert [len(loop.handover) for loop in loops] == [3, 5]


def test_when_all_are_stalled_connections_wait_with_them(acceptor: Acceptor, loops: list[Loop], dial: Dial) -> None:
    acceptor.loops += loops
    for _ in range(4):
        dial()
        acceptor.step(STEP)
    step_until(acceptor, lambda: sum(len(loop.handover) for loop in loops) == 4)
    for loop in loops:
        loop.turn()
    assert sum(len(loop.taken) for loop in loops) == 4


def test_when_all_are_stalled_other_processes_may_have_what_comes(
    acceptor: Acceptor, loops: list[Loop], clock: StallClock
) -> None:
    acceptor.loops += loops
    with ExitStack() as stack:
        listener = stack.enter_context(SharedListener())
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        acceptor.listen([SharedListener(fileno=os.dup(listener.fileno()))])
        for _ in loops:
            stack.enter_context(socket.create_connection(listener.getsockname()))
        step_until(acceptor, lambda: all(loop.handover for loop in loops))
        clock.pass_stall()
        late = stack.enter_context(socket.create_connection(listener.getsockname()))
        for _ in range(5):
            acceptor.step(0.01)
        assert sum(len(loop.handover) for loop in loops) == 2
        for loop in loops:
            loop.turn()
        step_until(acceptor, lambda: any(loop.handover for loop in loops))
        loops[0].turn()
        loops[1].turn()
        assert any(is_from(taken, late) for loop in loops for taken in loop.taken)


def test_a_closed_loop_is_passed_over(acceptor: Acceptor, loops: list[Loop], dial: Dial, clock: StallClock) -> None:
    loops[0].closed = True
    acceptor.loops += loops
    dial()
    acceptor.step(STEP)
    assert len(loops[1].handover) == 1


def test_connections_wait_until_there_is_a_loop(acceptor: Acceptor, loops: list[Loop], dial: Dial) -> None:
    client = dial()
    acceptor.step(STEP)
    acceptor.loops.append(loops[0])
    begun = time.monotonic()
    acceptor.step(STEP)
    assert time.monotonic() - begun < STEP / 2
    loops[0].turn()
    assert is_from(loops[0].taken[0], client)


def test_what_lies_before_a_dead_loop_is_given_to_another(
    acceptor: Acceptor, loops: list[Loop], dial: Dial, clock: StallClock
) -> None:
    acceptor.loops += loops
    dial()
    acceptor.step(STEP)
    acceptor.remove(loops[0])
    begun = time.monotonic()
    acceptor.step(STEP)
    assert time.monotonic() - begun < STEP / 2
    assert len(loops[1].handover) == 1


def test_what_waits_in_the_listener_is_handed_over_when_it_closes(
    acceptor: Acceptor, loops: list[Loop], dial: Dial
) -> None:
    acceptor.loops.append(loops[0])
    clients = [dial() for _ in range(3)]
    acceptor.stop_listening()
    assert len(loops[0].handover) == len(clients)
    with pytest.raises(ConnectionRefusedError):
        dial()


def test_a_wake_up_ends_a_step(acceptor: Acceptor) -> None:
    for _ in range(100_000):
        acceptor.wake_threadsafe()
    begun = time.monotonic()
    acceptor.step(STEP)
    assert time.monotonic() - begun < STEP / 2


class ExhaustedListener(socket.socket):
    """There are no descriptors left, for a number of attempts."""

    attempts = 0
    failures = 3

    def _accept(self) -> tuple[int, object]:
        self.attempts += 1
        if self.attempts <= self.failures:
            raise OSError(errno.EMFILE, "Too many open files")
        return super()._accept()  # type: ignore[misc,no-any-return]


def test_exhaustion_pauses_is_logged_once_and_passes(
    acceptor: Acceptor, loops: list[Loop], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor_module, "EXHAUSTION_PAUSE_SECONDS", 0.02)
    acceptor.loops.append(loops[0])
    listener = ExhaustedListener()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    listener.setblocking(False)
    acceptor.listen([listener])
    with socket.create_connection(listener.getsockname()), caplog.at_level(logging.INFO):
        begun = time.monotonic()
        for _ in range(20):
            if loops[0].handover:
                break
            acceptor.step(STEP)
        assert len(loops[0].handover) == 1
        assert time.monotonic() - begun >= 3 * 0.02
    assert [record.getMessage() for record in caplog.records] == [
        "Cannot accept connections: Too many open files. Trying again every 0.25 seconds."
    ]
