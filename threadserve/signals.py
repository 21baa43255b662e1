"""The signals that stop the server.

Runs on the main thread, the only one that Python delivers signals to; elsewhere it installs nothing. It owns the
handlers while it is entered and puts back those it found.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def captured(on_signal: Callable[[], None]) -> Iterator[list[int]]:
    """Calls `on_signal` for each stopping signal; gives the list of those that came."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def handle(number: int, frame: FrameType | None) -> None:
        came.append(number)
        on_signal()

    found = {number: signal.signal(number, handle) for number in STOPPING}
    try:
        yield came
    finally:
        for number, handler in found.items():
            signal.signal(number, handler)
