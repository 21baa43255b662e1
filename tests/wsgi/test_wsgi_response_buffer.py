"""The bytes that one thread packs are those that another reads, and the locks of the pool."""

import threading

import pytest
from support.waiting import DEADLINE

from threadserve.wsgi.locks import Mutex, Semaphore
from threadserve.wsgi.response_buffer import ResponseBuffer

SIZES = [0, 1, 255, 256, 257, 511, 512, 513, 32767, 32768, 32769, 1_000_000]


@pytest.mark.parametrize("head", SIZES)
@pytest.mark.parametrize("body", SIZES)
def test_pieces_come_out_as_they_went_in(head: int, body: int) -> None:
    buffer = ResponseBuffer()
    one, two = bytes(range(256)) * (head // 256 + 1), bytes(range(255, -1, -1)) * (body // 256 + 1)
    packing = threading.Thread(target=lambda: buffer.pack(one[:head], two[:body]))
    packing.start()
    packing.join(DEADLINE)
    for _ in range(2):
        assert (buffer.packed_head(), buffer.packed_body()) == (one[:head], two[:body])


def test_empty_at_first() -> None:
    assert (ResponseBuffer().packed_head(), ResponseBuffer().packed_body()) == (b"", b"")


def test_mutex_is_held_by_one_thread_at_a_time() -> None:
    mutex = Mutex()
    count = 0

    def add() -> None:
        nonlocal count
        for number in range(5000):
            if number % 2:
                with mutex:
                    count += 1
            else:
                mutex.lock()
                count += 1
                mutex.unlock()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert count == 20_000


def test_mutex_is_let_go_when_what_it_guards_fails() -> None:
    mutex = Mutex()
    with pytest.raises(ValueError, match="in between"), mutex:
        raise ValueError("in between")
    mutex.lock()
    mutex.unlock()


def test_sleeper_is_woken_once_for_each_time() -> None:
    semaphore = Semaphore()
    woken: list[int] = []
    slept = threading.Event()

    def sleep() -> None:
        for number in range(1000):
            semaphore.acquire()
            woken.append(number)
            slept.set()

    thread = threading.Thread(target=sleep)
    thread.start()
    # Before it sleeps, and while it does.
    for _ in range(500):
        semaphore.release_threadsafe()
    for _ in range(500):
        slept.clear()
        semaphore.release_threadsafe()
        assert slept.wait(DEADLINE)
    thread.join(DEADLINE)
    assert woken == [*range(1000)]
