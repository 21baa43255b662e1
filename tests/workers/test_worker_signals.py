"""The signals that stop a worker, which may come twice at the same moment: from its supervisor and from a terminal."""

import signal
import sys
from itertools import count
from types import FrameType
from typing import Any

import pytest

from threadserve import Config
from threadserve.workers.worker import TERMINATE_SIGNAL, WorkerServer


def handle_interrupted(server: WorkerServer, number: int, place: int) -> bool:
    """Has a signal come, and again before the line number `place` of its handling; returns whether there was one."""
    left = place

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        left -= event == "line"
        if left < 0:
            sys.settrace(None)
            server.handle_exit(number, None)
            return None
        return trace

    sys.settrace(trace)
    try:
        server.handle_exit(number, None)
    finally:
        sys.settrace(None)
    return left < 0


@pytest.mark.parametrize("number", [signal.SIGTERM, TERMINATE_SIGNAL])
def test_the_same_signal_twice_is_one(number: int) -> None:
    for place in count():
        server = WorkerServer(Config("app:app", log_config=None))
        was_interrupted = handle_interrupted(server, number, place)
        assert server.should_exit
        assert server.force_exit == (number == TERMINATE_SIGNAL), place
        if not was_interrupted:
            break
    assert place > 0
