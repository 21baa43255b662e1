"""Readers for every test of this folder, over our own reading and over both parsers."""

import pytest
from support.reading import NewReader, reader_maker


@pytest.fixture(scope="session", params=["auto", "h11", "httptools"])
def new_reader(request: pytest.FixtureRequest) -> NewReader:
    """`new_reader(head_limit=…, …)` makes a reader with the parser under test."""
    return reader_maker(request.param)


@pytest.fixture(scope="session")
def new_plain_reader() -> NewReader:
    """Makes a reader that has no parser."""
    return reader_maker("auto")
