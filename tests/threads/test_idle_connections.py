"""Idle connections by themselves: when they are taken out, closed and refused."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from support.clock import StallClock
from support.waiting import DEADLINE, wait_until

from threadserve.errors import MailboxClosed
from threadserve.listening.accepted import ReturnedSocket
from threadserve.threads import idle_connections as idle_module
from threadserve.threads.idle_connections import BUSY_SECONDS, MAX_READY_CONNECTIONS, IdleConnections, ReturnQueue

KEEP_ALIVE = 5.0
HEADER = 30.0
GRACE = 1.0

Open = Callable[..., tuple[ReturnedSocket, socket.socket]]


@pytest.fixture
def time_of_idle(monkeypatch: pytest.MonkeyPatch) -> StallClock:
    made = StallClock(1000.0)
    monkeypatch.setattr(idle_module, "time", made)
    return made


@pytest.fixture
def idle() -> Iterator[IdleConnections]:
    made = IdleConnections(KEEP_ALIVE, HEADER, GRACE)
    yield made
    made.close()


@pytest.fixture
def open_pair() -> Iterator[Open]:
    """Makes a connection and its client."""
    opened: list[socket.socket] = []

    def make(deadline: float = 1005.0, since: float | None = None) -> tuple[ReturnedSocket, socket.socket]:
        server, client = socket.socketpair()
        returned = ReturnedSocket(server.family, server.type, server.proto, server.detach())
        returned.deadline, returned.since, returned.is_busy = deadline, since, False
        returned.speaks_http1 = True
        opened.extend((returned, client))
        return returned, client

    yield make
    for connection in opened:
        connection.close()


def test_a_connection_is_taken_out_when_something_arrives(idle: IdleConnections, open_pair: Open) -> None:
    quiet, _ = open_pair()
    ready, client = open_pair()
    gone, leaver = open_pair()
    for connection in (quiet, ready, gone):
        idle.add(connection)
    assert idle.take_ready() == []
    client.send(b"G")
    leaver.close()
    assert set(idle.take_ready()) == {ready, gone}
    assert len(idle) == 1
    assert ready.recv(2) == b"G"
    # It is watched no more.
    client.send(b"E")
    assert idle.take_ready() == []


def test_a_batch_leaves_the_rest_for_the_next(idle: IdleConnections, open_pair: Open) -> None:
    for _ in range(MAX_READY_CONNECTIONS + 3):
        connection, client = open_pair()
        idle.add(connection)
        client.send(b"G")
    assert [len(idle.take_ready()) for _ in range(3)] == [MAX_READY_CONNECTIONS, 3, 0]


@pytest.mark.parametrize(
    ("since", "is_busy"),
    [(None, False), (1000.0, True), (1000.0 - BUSY_SECONDS / 2, True), (1000.0 - 2 * BUSY_SECONDS, False)],
)
def test_who_comes_back_at_once_is_busy(
    idle: IdleConnections, time_of_idle: StallClock, open_pair: Open, since: float | None, is_busy: bool
) -> None:
    connection, client = open_pair(since=since)
    idle.add(connection)
    client.send(b"G")
    assert idle.take_ready() == [connection]
    assert connection.is_busy is is_busy


def test_each_is_closed_at_its_deadline(idle: IdleConnections, time_of_idle: StallClock, open_pair: Open) -> None:
    first, first_client = open_pair(1002.0)
    second, second_client = open_pair(1004.2)
    assert idle.next_deadline() == float("inf")
    idle.add(second)
    idle.add(first)
    assert idle.next_deadline() == 1002.0
    idle.close_overdue(1001.9)
    assert len(idle) == 2
    idle.close_overdue(1002.0)
    assert (len(idle), first_client.recv(1)) == (1, b"")
    # Never early.
    assert idle.next_deadline() == 1004.5
    idle.close_overdue(1004.4)
    assert len(idle) == 1
    idle.close_overdue(1005.0)
    assert (len(idle), second_client.recv(1)) == (0, b"")
    assert idle.next_deadline() == float("inf")


def test_those_used_lately_are_kept_at_the_end(
    idle: IdleConnections, time_of_idle: StallClock, open_pair: Open
) -> None:
    old, old_client = open_pair(1000.0 - GRACE + KEEP_ALIVE - 0.1)
    recent, _ = open_pair(1000.0 - GRACE + KEEP_ALIVE + 0.1)
    new, _ = open_pair(1000.0 - GRACE + HEADER + 0.1)
    silent, silent_client = open_pair(1000.0 - GRACE + HEADER - 0.1)
    new.speaks_http1 = silent.speaks_http1 = False
    for connection in (old, recent, new, silent):
        idle.add(connection)
    assert idle.take_recent() == [recent, new]
    idle.close()
    assert old_client.recv(1) == silent_client.recv(1) == b""
    assert recent.fileno() >= 0


def test_a_box_wakes_once_for_what_it_is_given_until_it_is_emptied(open_pair: Open) -> None:
    woken: list[bool] = []
    box = ReturnQueue(lambda: woken.append(True))
    first, second = open_pair()[0], open_pair()[0]
    box.put_threadsafe(first)
    box.put_threadsafe(second)
    assert len(woken) == 1
    assert box.take_all() == [first, second]
    box.put_threadsafe(first)
    assert len(woken) == 2
    box.close()
    with pytest.raises(MailboxClosed):
        box.put_threadsafe(second)
    assert box.take_all() == [first]


def test_what_threads_give_while_the_box_is_closed_is_taken_or_refused(open_pair: Open) -> None:
    box = ReturnQueue(lambda: None)
    connection = open_pair()[0]
    start = threading.Barrier(5)
    given: list[int] = []

    def give() -> None:
        start.wait(DEADLINE)
        count = 0
        try:
            while True:
                box.put_threadsafe(connection)
                count += 1
        except MailboxClosed:
            given.append(count)

    threads = [threading.Thread(target=give) for _ in range(4)]
    for thread in threads:
        thread.start()
    start.wait(DEADLINE)
    taken = 0
    end = time.monotonic() + 0.1
    wait_until(lambda: time.monotonic() > end or taken > 100_000, "some to be given")
    box.close()
    for thread in threads:
        thread.join(DEADLINE)
    taken += len(box.take_all())
    assert taken == sum(given) > 0
