"""Fixtures for the tests of the threads."""

import pytest
from support.stall_clock import StallClock, install_clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StallClock:
    """The time by which loops are stalled, which stands still."""
    return install_clock(monkeypatch)
