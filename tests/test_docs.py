"""What the docs say that can be checked."""

from enum import IntEnum
from pathlib import Path

import pytest

from threadserve.http.states import RequestState, ResponseState
from threadserve.http1.states import Closing, Reading
from threadserve.http2 import states as http2_states

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("states", [RequestState, ResponseState, Reading, Closing])
def test_every_state_is_drawn(states: type[IntEnum]) -> None:
    drawn = (DOCS / "request-path.md").read_text().partition("## The states")[2].partition("## When")[0]
    assert [state.name for state in states if state.name not in drawn] == []


def test_every_state_of_http2_is_drawn() -> None:
    drawn = (DOCS / "http2.md").read_text().partition("```\nclosing")[2]
    assert [state.name for state in http2_states.Closing if state.name not in drawn] == []
