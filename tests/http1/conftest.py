"""Readers for every test of this folder, over our own reading and over both parsers."""

import pytest
from support.reading import NewReader

from threadserve.http1.parsers import parser_maker
from threadserve.http1.reader import Reader
from threadserve.http1.scan import Scanner


@pytest.fixture(scope="session", params=["auto", "h11", "httptools"])
def new_reader(request: pytest.FixtureRequest) -> NewReader:
    """`new_reader(head_limit=…, …)` makes a reader with the parser under test."""
    scanner = Scanner(1)
    make_parser = parser_maker(request.param)

    def make(
        *, head_limit: int = 65536, field_limit: int = 100, chunk_line_limit: int = 1024, trailers_limit: int = 16384
    ) -> Reader:
        parser = make_parser() if make_parser is not None else None
        return Reader(head_limit, field_limit, chunk_line_limit, trailers_limit, scanner, parser)

    return make
