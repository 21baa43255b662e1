"""How the log puts things."""

import pytest

from threadserve.logging.wording import format_count, join_names


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 requests"), (1, "1 request"), (2, "2 requests"), (1.0, "1 request"), (0.3, "0.3 requests")],
)
def test_nouns_have_their_number(count: float, text: str) -> None:
    assert format_count(count, "request") == text


def test_a_plural_of_its_own() -> None:
    assert format_count(2, "process", "processes") == "2 processes"


def test_long_lists_are_cut_short() -> None:
    items = [str(number) for number in range(12)]
    assert join_names(items[:10]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert join_names(items) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, and 2 more"
