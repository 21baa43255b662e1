"""The readers and writers of the HTTP/1.1 connections of one loop.

Belongs to the loop's thread. It owns the lines that responses begin with, which all its writers share.
"""

from threadserve.config import Config
from threadserve.http.bounds import Bounds
from threadserve.http1.header_lines import HeaderLines
from threadserve.http1.parsers import find_parser
from threadserve.http1.reader import RequestReader
from threadserve.http1.scan import HeadScanner
from threadserve.http1.writer import ResponseWriter


class H1Codecs:
    """Makes readers and writers, as the configuration has them. Belongs to the loop's thread."""

    __slots__ = ("_bounds", "_field_limit", "_head_limit", "_lines", "_make_parser", "_scanner")

    def __init__(self, config: Config, number: int, bounds: Bounds, lines: HeaderLines) -> None:
        self._bounds = bounds
        self._lines = lines
        self._head_limit = config.head_limit
        self._field_limit = config.limit_request_header_fields
        self._make_parser = find_parser(config.http)
        self._scanner = HeadScanner(number)

    def make_reader(self) -> RequestReader:
        """Return a reader for one connection."""
        parser = self._make_parser() if self._make_parser is not None else None
        bounds = self._bounds
        return RequestReader(
            self._head_limit,
            self._field_limit,
            bounds.max_chunk_line_bytes,
            bounds.max_trailers_bytes,
            self._scanner,
            parser,
        )

    def make_writer(self) -> ResponseWriter:
        """Return a writer for one connection."""
        return ResponseWriter(self._lines)
