"""Signals that do not interrupt what the main thread waits for."""

import signal
import socket
import threading
import time

from support.waiting import DEADLINE

from threadserve.nudging import nudging
from threadserve.signals import handled


def raise_beside(number: int) -> threading.Thread:
    """A thread that gets a signal, so that no wait of the main thread is interrupted."""

    def raise_it() -> None:
        # A main thread that waits by then has to be nudged; one that does not calls the handler by itself.
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), number)

    thread = threading.Thread(target=raise_it)
    thread.start()
    return thread


def test_a_handler_is_called_though_the_main_thread_waits() -> None:
    called = threading.Event()
    with handled(lambda number, frame: called.set(), [signal.SIGTERM]), nudging() as listen:
        listen()
        thread = raise_beside(signal.SIGTERM)
        assert called.wait(DEADLINE)
    thread.join()


def test_who_has_listened_before_hears_of_signals_too() -> None:
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    reader.settimeout(DEADLINE)
    found = signal.set_wakeup_fd(writer.fileno())
    try:
        with handled(lambda number, frame: None, [signal.SIGUSR2]), nudging() as listen:
            listen()
            listen()
            signal.raise_signal(signal.SIGUSR2)
            assert reader.recv(10) == bytes([signal.SIGUSR2])
        assert signal.set_wakeup_fd(found) == writer.fileno()
    finally:
        reader.close()
        writer.close()


def test_it_keeps_from_a_signal_that_somebody_has_a_use_for() -> None:
    came: list[int] = []
    with handled(lambda number, frame: came.append(number), [signal.SIGURG]), nudging() as listen:
        listen()
        signal.raise_signal(signal.SIGURG)
        assert signal.set_wakeup_fd(-1) == -1
    assert came == [signal.SIGURG]
    assert signal.getsignal(signal.SIGURG) == signal.SIG_DFL
