"""What the HTTP/1.1 connections of one loop have in common.

Belongs to the loop's thread. It owns the lines that responses begin with; connections have their own readers and
writers from it, when they first need them.
"""

from threadserve.config import Config
from threadserve.http.bounds import Bounds
from threadserve.http1.lines import HeadLines
from threadserve.http1.parsers import parser_maker
from threadserve.http1.reader import Reader
from threadserve.http1.scan import Scanner
from threadserve.http1.writer import Writer


class HTTP1:
    """Makes readers and writers, as the configuration has them."""

    __slots__ = ("_bounds", "_field_limit", "_head_limit", "_lines", "_make_parser", "_scanner")

    def __init__(self, config: Config, number: int, bounds: Bounds, lines: HeadLines) -> None:
        self._bounds = bounds
        self._lines = lines
        self._head_limit = config.head_limit
        self._field_limit = config.limit_request_header_fields
        self._make_parser = parser_maker(config.http)
        self._scanner = Scanner(number)

    def reader(self) -> Reader:
        """A reader for one connection."""
        parser = self._make_parser() if self._make_parser is not None else None
        bounds = self._bounds
        return Reader(
            self._head_limit, self._field_limit, bounds.chunk_line_bytes, bounds.trailers_bytes, self._scanner, parser
        )

    def writer(self) -> Writer:
        """A writer for one connection."""
        return Writer(self._lines)
