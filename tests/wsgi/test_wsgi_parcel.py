"""What is packed by one thread is what another takes out."""

import threading

import pytest
from support.waiting import DEADLINE

from threadserve.wsgi.parcel import Parcel
from threadserve.wsgi.parking import Mutex, Parking

SIZES = [0, 1, 255, 256, 257, 511, 512, 513, 32767, 32768, 32769, 1_000_000]


@pytest.mark.parametrize("first", SIZES)
@pytest.mark.parametrize("second", SIZES)
def test_pieces_come_out_as_they_went_in(first: int, second: int) -> None:
    parcel = Parcel()
    one, two = bytes(range(256)) * (first // 256 + 1), bytes(range(255, -1, -1)) * (second // 256 + 1)
    packing = threading.Thread(target=lambda: parcel.pack(one[:first], two[:second]))
    packing.start()
    packing.join(DEADLINE)
    for _ in range(2):
        assert (parcel.first(), parcel.second()) == (one[:first], two[:second])


def test_empty_at_first() -> None:
    assert (Parcel().first(), Parcel().second()) == (b"", b"")


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
    parking = Parking()
    woken: list[int] = []
    slept = threading.Event()

    def sleep() -> None:
        for number in range(1000):
            parking.sleep()
            woken.append(number)
            slept.set()

    thread = threading.Thread(target=sleep)
    thread.start()
    # Before it sleeps, and while it does.
    for _ in range(500):
        parking.wake_threadsafe()
    for _ in range(500):
        slept.clear()
        parking.wake_threadsafe()
        assert slept.wait(DEADLINE)
    thread.join(DEADLINE)
    assert woken == [*range(1000)]
