"""The page of settings, which is made from their declarations."""

from dataclasses import Field
from typing import Any

import make_settings
import pytest
from support.command_line import option_of
from support.pages import rows

from threadserve.config import groups, settings

PAGE = make_settings.PAGE.read_text()
ROWS = {row[2]: row for row in rows(PAGE) if len(row) == 6}


def test_the_page_is_as_the_settings_are_declared() -> None:
    """Where this fails, run `python docs/make_settings.py`."""
    assert make_settings.page() == PAGE


@pytest.mark.parametrize("declared", settings(), ids=lambda declared: str(declared.name))
def test_a_setting_has_a_row_with_all_that_it_needs(declared: Field[Any]) -> None:
    option, variable, _, default, unit, text = ROWS[f"`{declared.name}`"]
    assert f"`{option_of(declared.name).opts[0]}`" in option
    assert variable == f"`THREADSERVE_{declared.name.upper()}`"
    assert default
    assert unit
    assert text[:20] in declared.metadata["help"].replace("*", r"\*")


def test_timeouts_and_sizes_have_a_unit() -> None:
    units = {name.strip("`"): row[4] for name, row in ROWS.items()}
    assert {unit for name, unit in units.items() if name.startswith("timeout_")} == {"seconds"}
    assert units["limit_request_body"] == units["ws_max_size"] == "bytes"
    assert units["ssl_certfile"] == "`FILE`"
    assert units["header" if "header" in units else "headers"] == "`NAME:VALUE`; repeatable"


def test_every_group_has_a_note_and_none_is_left_over() -> None:
    assert set(make_settings.NOTES) == {heading for heading, _ in groups()} | {"Other"}
