"""Threads of a client that go on for a given time, or until SIGTERM."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Stopped = threading.Event
Start = Callable[..., None]
# What a thread may take to end; whoever takes longer is left behind.
END_SECONDS = 40.0


@contextmanager
def threads(seconds: float) -> Iterator[tuple[Stopped, Start]]:
    """Gives an event, which is set after so many seconds or at SIGTERM, and what starts a thread; then waits for all.

    Belongs to the main thread of a process.
    """
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    running: list[threading.Thread] = []

    def start(target: Callable[..., None], *arguments: object) -> None:
        running.append(threading.Thread(target=target, args=arguments, daemon=True))
        running[-1].start()

    yield stopped, start
    stopped.wait(seconds)
    stopped.set()
    deadline = time.monotonic() + END_SECONDS
    for thread in running:
        thread.join(max(0.0, deadline - time.monotonic()))
