"""The lines that responses on one loop begin with, each made and checked once.

Belongs to the loop's thread; it never writes to a transport.
"""

from collections.abc import Iterable
from email.utils import formatdate

from threadserve.config import Config
from threadserve.http.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    MAX_CACHED_LINE_BYTES,
    MAX_CACHED_LINES,
    SERVER,
    TRANSFER_ENCODING,
    check_field,
    check_final_status,
    configured_headers,
    is_date_sent,
    reason_phrase,
)
from threadserve.types import Field

MANAGED_FIELDS = frozenset({CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, DATE, SERVER})


class HeaderLines:
    """Status lines, the lines of every response, and a cache of the lines that applications send again and again.

    `cache` maps a field to its line; its keys are tuples of bytes, made here. Fields named in `MANAGED_FIELDS` are
    never in it, because what becomes of those depends on the response. `default` has the lines of date and server, and
    of the headers that are added to every response.
    """

    __slots__ = ("_config_lines", "_is_date_sent", "cache", "default", "statuses")

    def __init__(self, config: Config) -> None:
        self._config_lines = config_lines(config)
        self._is_date_sent = is_date_sent(config)
        self.cache: dict[Field, bytes] = {}
        self.statuses: dict[int, bytes] = {}
        self.default = b""
        self.refresh_date()

    def refresh_date(self) -> None:
        """Update the date in `default`. Called at every tick."""
        date = f"date: {formatdate(usegmt=True)}\r\n".encode() if self._is_date_sent else b""
        self.default = date + self._config_lines

    def add_status(self, status: int) -> bytes:
        """Add the line of a status to `statuses` and return it. Raises `ValueError` for no final status."""
        line = self.statuses[status] = status_line(check_final_status(status))
        return line

    def add_to_cache(self, field: Field) -> bytes:
        """Cache and return the line of a field from `copy_field` that is not in the cache yet. Raises `ValueError`."""
        line = field_line(field)
        if len(line) <= MAX_CACHED_LINE_BYTES:
            if len(self.cache) >= MAX_CACHED_LINES:
                self.cache.clear()
            self.cache[field] = line
        return line


def status_line(status: int) -> bytes:
    """Return the status line of a response, with its CRLF (RFC 9112 section 4)."""
    return b"HTTP/1.1 %d %s\r\n" % (status, reason_phrase(status).encode())


def field_line(field: Iterable[object]) -> bytes:
    """Return the line of a field, with its CRLF. Raises as `check_field` does."""
    return b"%b: %b\r\n" % check_field(field)


def field_lines(fields: Iterable[Iterable[object]]) -> bytes:
    """Return the lines of several fields, with their CRLFs. Raises as `check_field` does."""
    return b"".join([field_line(field) for field in fields])


def without_field(name: bytes, lines: bytes) -> bytes:
    """Return lines without those of the field with this name, in lower case."""
    return b"".join([line for line in lines.splitlines(keepends=True) if not line.lower().startswith(name + b":")])


def config_lines(config: Config) -> bytes:
    """Return the lines of the server header and of the headers that are added to every response."""
    return "".join([f"{name}: {value}\r\n" for name, value in configured_headers(config)]).encode("latin-1")
