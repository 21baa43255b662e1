"""The status and headers that an application gives to `start_response`: checked, and formatted once.

Runs on the pool thread that makes the call, which owns its `HeadFormatter`. Instances of subclasses of `str` are
converted to plain `str`, so that none of the application's own methods decides here.
"""

import re
from typing import Any, TypeVar
from wsgiref.util import is_hop_by_hop

from threadserve.http.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    LENGTH_UNKNOWN,
    MAX_CACHED_LINE_BYTES,
    MAX_CACHED_LINES,
    MAX_LENGTH_DIGITS,
    SERVER,
    reason_phrase,
)
from threadserve.http.head import ResponseHead

Key = TypeVar("Key")
Value = TypeVar("Value")

_status_pattern = re.compile(r"([2-9][0-9][0-9])(?: [^\x00-\x1f\x7f]*)?")
_field_name_pattern = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_control_pattern = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_digits_pattern = re.compile(rf"[0-9]{{1,{MAX_LENGTH_DIGITS}}}")


class SpecialField:
    """A field that the server has to act on: its line (empty if not sent), and its meaning as in `ResponseHead`."""

    __slots__ = ("closes", "length", "line", "replaces")

    def __init__(self, line: bytes, length: int = LENGTH_UNKNOWN, closes: bool = False, replaces: bytes = b"") -> None:
        self.line = line
        self.length = length
        self.closes = closes
        self.replaces = replaces


class HeadFormatter:
    """Formats response heads, and caches the lines of repeated statuses and header fields, which are checked once."""

    __slots__ = ("_lines", "_lower_names", "_special_fields", "_status_lines")

    def __init__(self) -> None:
        self._status_lines: dict[str, bytes] = {}
        self._lower_names: dict[str, bytes] = {}
        self._lines: dict[tuple[object, ...], bytes] = {}
        # A cache of its own, because applications send many different lengths, which must not evict other fields.
        self._special_fields: dict[tuple[object, ...], SpecialField] = {}

    def format_head(self, status: object, headers: object) -> ResponseHead:
        """Return the head of a response with this status and these headers.

        Leaves out fields of the connection except for `Connection: close` (RFC 9110 section 7.6.1). Raises `ValueError`
        or `TypeError` for a status or headers that cannot be sent.
        """
        lines = [b""]
        length = LENGTH_UNKNOWN
        length_at = 0
        closes = False
        replaces: tuple[bytes, ...] = ()
        known = self._lines
        for header in headers if type(headers) is list else to_tuple(headers, "the headers"):
            pair = header if type(header) is tuple else to_tuple(header, "a header")
            try:
                line = known.get(pair)
            except TypeError:
                # An unhashable value is no str: `_find_field` says so.
                line = None
            if line is None:
                special = self._find_field(pair)
                line = special.line
                if special.length != LENGTH_UNKNOWN:
                    if special.length == length:
                        continue
                    if length != LENGTH_UNKNOWN:
                        raise ValueError(f"different values of Content-Length: {length} and {special.length}")
                    length = special.length
                    length_at = len(lines)
                closes = closes or special.closes
                if special.replaces:
                    replaces = (*replaces, special.replaces)
            lines.append(line)
        if not isinstance(status, str):
            raise TypeError(f"the status given to start_response is not a str: {status!r}")
        first = self._status_lines.get(status)
        if first is None:
            first = self._format_status(str.__str__(status))
        code = int(first[:3])
        if code == 204 and length_at:
            # RFC 9110 section 8.6: a response without content has no content-length.
            lines[length_at] = b""
        lines[0] = first
        return ResponseHead(code, b"".join(lines), length, closes, replaces)

    def _find_field(self, pair: tuple[object, ...]) -> SpecialField:
        """Return a field that is not in the cache of lines."""
        if len(pair) != 2:
            raise ValueError(f"a header given to start_response is not a name and a value: {pair!r}")
        name, value = pair
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"header names and values are str, not {name!r}: {value!r}")
        return self._special_fields.get(pair) or self._format_field(str.__str__(name), str.__str__(value))

    def _format_status(self, text: str) -> bytes:
        """Return the line of a status such as "200 OK", with the application's own phrase if it has one."""
        if _status_pattern.fullmatch(text) is None:
            raise ValueError(f"invalid status given to start_response: {text!r}")
        code, _, phrase = text.partition(" ")
        try:
            line = f"{code} {phrase.strip(' ') or reason_phrase(int(code))}\r\n".encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"a character beyond Latin-1 in the status given to start_response: {text!r}") from None
        if len(line) <= MAX_CACHED_LINE_BYTES:
            add_bounded(self._status_lines, text, line)
        return line

    def _format_field(self, name: str, value: str) -> SpecialField:
        lower = self._lower_names.get(name) or self._lower_name(name)
        line = b"%b: %b\r\n" % (lower, encode_field_value(name, value))
        # The key is a new tuple, owned by this thread: on free-threaded builds, looking up one of another thread takes
        # a lock.
        if lower == CONTENT_LENGTH:
            special = SpecialField(line, length=parse_content_length(value))
        elif is_hop_by_hop(name):
            special = SpecialField(b"", closes=lower == CONNECTION and "close" in split_tokens(value))
        elif lower in (DATE, SERVER):
            special = SpecialField(line, replaces=lower)
        else:
            special = SpecialField(line)
            if len(line) <= MAX_CACHED_LINE_BYTES:
                add_bounded(self._lines, (name, value), line)
            return special
        if len(line) <= MAX_CACHED_LINE_BYTES:
            add_bounded(self._special_fields, (name, value), special)
        return special

    def _lower_name(self, name: str) -> bytes:
        if not _field_name_pattern.fullmatch(name):
            raise ValueError(f"invalid header name in the response: {name!r}")
        lower = name.lower().encode()
        if len(lower) <= MAX_CACHED_LINE_BYTES:
            add_bounded(self._lower_names, name, lower)
        return lower


def to_tuple(given: Any, what: str) -> tuple[object, ...]:
    """Return the items of an iterable. Raises `TypeError` for text, and for anything that is not iterable."""
    if not isinstance(given, str | bytes):
        try:
            return tuple(given)
        except TypeError:
            pass
    raise TypeError(f"{what} given to start_response cannot be {given!r}")


def encode_field_value(name: str, value: str) -> bytes:
    """Return a field's value as bytes, without surrounding white space (RFC 9110 section 5.5). Raises `ValueError`."""
    if _control_pattern.search(value):
        raise ValueError(f"control characters in the response's header {name}: {value!r}")
    try:
        return value.strip(" \t").encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"a character beyond Latin-1 in the response's header {name}: {value!r}") from None


def parse_content_length(value: str) -> int:
    """Return the length in a Content-Length field. Raises `ValueError`."""
    digits = value.strip(" \t")
    if not _digits_pattern.fullmatch(digits):
        raise ValueError(f"invalid Content-Length in the response: {value!r}")
    return int(digits)


def split_tokens(value: str) -> list[str]:
    """Return the elements of a list field, in lower case."""
    return [token.strip(" \t") for token in value.lower().split(",")]


def add_bounded(known: dict[Key, Value], key: Key, value: Value) -> None:
    """Add an entry to a cache, emptying it first when it is full."""
    if len(known) >= MAX_CACHED_LINES:
        known.clear()
    known[key] = value


def make_error_response(status: str, *headers: tuple[str, str]) -> tuple[ResponseHead, bytes]:
    """Return the head and body of a response by the server itself; the body is the reason phrase."""
    fields = [("Content-Type", "text/plain; charset=utf-8"), *headers]
    return HeadFormatter().format_head(status, fields), status.partition(" ")[2].encode()


INTERNAL_ERROR_HEAD, INTERNAL_ERROR_BODY = make_error_response("500 Internal Server Error")
UNAVAILABLE_HEAD, UNAVAILABLE_BODY = make_error_response("503 Service Unavailable", ("Retry-After", "1"))
TIMEOUT_HEAD, TIMEOUT_BODY = make_error_response("504 Gateway Timeout")
