"""What the docs say that can be checked."""

import re
from enum import IntEnum
from pathlib import Path

import pytest

from threadserve import check
from threadserve.check.contradictions import RULES
from threadserve.check.log_records import CODES
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


def test_every_code_of_the_check_is_explained() -> None:
    sources = "".join(file.read_text() for file in Path(check.__file__).parent.glob("*.py"))
    codes = {*re.findall(r'evel(?:\.[A-Z]+)?,\s*"([a-z-]+)"', sources), *CODES.values(), *(rule.code for rule in RULES)}
    assert {"loop-bound", "gil-on", "hangs"} <= codes
    explained = (DOCS / "check.md").read_text().partition("## Codes")[2].partition("## JSON")[0]
    assert sorted(code for code in codes if f"`{code}`" not in explained) == []
