"""The command that has idle connections go from thread to thread, for a moment."""

import sys

import pytest

from loadtests.handbacks.command import handbacks
from threadserve.threads.idle_connections import HAS_EPOLL

pytestmark = pytest.mark.skipif(not HAS_EPOLL, reason="idle connections stay with their loops")


def test_nothing_is_lost_in_a_few_hand_backs(capsys: pytest.CaptureFixture[str]) -> None:
    few = ("--count", "5", "--connections", "20", "--threads", "2", "--uds", "--server-python", sys.executable)
    code = handbacks.main([*few], standalone_mode=False)
    told = capsys.readouterr().out
    assert (code, told.splitlines()[-1]) == (0, "clean: nothing is lost, and nothing is left over")
    assert " answers on " in told
