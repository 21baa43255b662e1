"""Fixtures for the tests of the threads."""

import pytest
from support.clock import StallClock

from threadserve.threads import handover


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StallClock:
    """The time by which loops are stalled, which stands still."""
    clock = StallClock()
    monkeypatch.setattr(handover, "time", clock)
    return clock
