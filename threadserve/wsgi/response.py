"""The status and the headers that an application gives to `start_response`: checked, and formatted once.

Runs on the pool thread that makes the call. `KnownLines` belongs to one pool thread. What comes as a subclass of `str`
is taken for the text that it is, and kept as a plain `str`, so that no method of the application's decides here.
"""

import re
from typing import Any
from wsgiref.util import is_hop_by_hop

from threadserve.http.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    LENGTH_UNKNOWN,
    MAX_LENGTH_DIGITS,
    SERVER,
    reason_phrase,
)
from threadserve.http.head import ResponseHead

KNOWN_LIMIT = 1024
KNOWN_LENGTH = 256

_status = re.compile(r"([2-9][0-9][0-9])(?: [^\x00-\x1f\x7f]*)?")
_name = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_digits = re.compile(rf"[0-9]{{1,{MAX_LENGTH_DIGITS}}}")


class Special:
    """A field that means something to us: its line, if it is sent, and what that says, as in `ResponseHead`."""

    __slots__ = ("closes", "length", "line", "replaces")

    def __init__(self, line: bytes, length: int = LENGTH_UNKNOWN, closes: bool = False, replaces: bytes = b"") -> None:
        self.line = line
        self.length = length
        self.closes = closes
        self.replaces = replaces


class KnownLines:
    """The lines of statuses and header fields that the application sends again and again, each checked once."""

    __slots__ = ("_fields", "_names", "_special", "_statuses")

    def __init__(self) -> None:
        self._statuses: dict[str, bytes] = {}
        self._names: dict[str, bytes] = {}
        self._fields: dict[Any, bytes] = {}
        # Apart, because there may be many lengths, which must not drive out the others.
        self._special: dict[Any, Special] = {}

    def head(self, status: Any, headers: Any) -> ResponseHead:
        """The head of a response with these.

        Fields that concern the connection alone are left out, but for `Connection: close` (RFC 9110 section 7.6.1).
        Raises `ValueError` or `TypeError` for a status or headers that cannot be sent.
        """
        lines = [b""]
        length = LENGTH_UNKNOWN
        length_at = 0
        closes = False
        replaces: tuple[bytes, ...] = ()
        known = self._fields
        for header in headers if type(headers) is list else pieces_of(headers, "the headers"):
            pair = header if type(header) is tuple else pieces_of(header, "a header")
            try:
                line = known.get(pair)
            except TypeError:
                # It cannot be hashed, and so it is no text.
                line = None
            if line is None:
                special = self._look_up(pair)
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
        first = self._statuses.get(status)
        if first is None:
            first = self._learn_status(str.__str__(status))
        code = int(first[:3])
        if code == 204 and length_at:
            # RFC 9110 section 8.6: a response without content has no content-length.
            lines[length_at] = b""
        lines[0] = first
        return ResponseHead(code, b"".join(lines), length, closes, replaces)

    def _look_up(self, pair: tuple[Any, ...]) -> Special:
        """What becomes of a field that is not known, or that means something to us."""
        if len(pair) != 2:
            raise ValueError(f"a header given to start_response is not a name and a value: {pair!r}")
        name, value = pair
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"header names and values are str, not {name!r}: {value!r}")
        return self._special.get(pair) or self._learn(str.__str__(name), str.__str__(value))

    def _learn_status(self, text: str) -> bytes:
        """A status such as "200 OK" as it is sent, with the application's own phrase if it has one."""
        if _status.fullmatch(text) is None:
            raise ValueError(f"invalid status given to start_response: {text!r}")
        code, _, phrase = text.partition(" ")
        try:
            line = f"{code} {phrase.strip(' ') or reason_phrase(int(code))}\r\n".encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"a character beyond Latin-1 in the status given to start_response: {text!r}") from None
        if len(line) <= KNOWN_LENGTH:
            remember(self._statuses, text, line)
        return line

    def _learn(self, name: str, value: str) -> Special:
        lower = self._names.get(name) or self._learn_name(name)
        line = b"%b: %b\r\n" % (lower, encoded(name, value))
        # The key is a tuple of this thread's own: on free-threaded builds, looking up one of another thread takes a
        # lock.
        if lower == CONTENT_LENGTH:
            special = Special(line, length=length_from(value))
        elif is_hop_by_hop(name):
            special = Special(b"", closes=lower == CONNECTION and "close" in tokens_of(value))
        elif lower in (DATE, SERVER):
            special = Special(line, replaces=lower)
        else:
            special = Special(line)
            if len(line) <= KNOWN_LENGTH:
                remember(self._fields, (name, value), line)
            return special
        if len(line) <= KNOWN_LENGTH:
            remember(self._special, (name, value), special)
        return special

    def _learn_name(self, name: str) -> bytes:
        if not _name.fullmatch(name):
            raise ValueError(f"invalid header name in the response: {name!r}")
        lower = name.lower().encode()
        if len(lower) <= KNOWN_LENGTH:
            remember(self._names, name, lower)
        return lower


def pieces_of(given: Any, what: str) -> tuple[Any, ...]:
    """What an iterable consists of. Raises `TypeError` for a text or what is no iterable."""
    if not isinstance(given, str | bytes):
        try:
            return tuple(given)
        except TypeError:
            pass
    raise TypeError(f"{what} given to start_response cannot be {given!r}")


def encoded(name: str, value: str) -> bytes:
    """A field's value as bytes, without the white space around it (RFC 9110 section 5.5). Raises `ValueError`."""
    if _control.search(value):
        raise ValueError(f"control characters in the response's header {name}: {value!r}")
    try:
        return value.strip(" \t").encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"a character beyond Latin-1 in the response's header {name}: {value!r}") from None


def length_from(value: str) -> int:
    """The content-length that a field declares. Raises `ValueError`."""
    digits = value.strip(" \t")
    if not _digits.fullmatch(digits):
        raise ValueError(f"invalid Content-Length in the response: {value!r}")
    return int(digits)


def tokens_of(value: str) -> list[str]:
    """The elements of a field that is a list, in lower case."""
    return [token.strip(" \t") for token in value.lower().split(",")]


def remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    """Adds to a dict that does not grow without bound."""
    if len(known) >= KNOWN_LIMIT:
        known.clear()
    known[key] = value


def own_answer(status: str, *headers: tuple[str, str]) -> tuple[ResponseHead, bytes]:
    """A response in place of the application's, whose body is the status in words."""
    fields = [("Content-Type", "text/plain; charset=utf-8"), *headers]
    return KnownLines().head(status, fields), status.partition(" ")[2].encode()


FAILED, FAILED_TEXT = own_answer("500 Internal Server Error")
BUSY, BUSY_TEXT = own_answer("503 Service Unavailable", ("Retry-After", "1"))
TIMED_OUT, TIMED_OUT_TEXT = own_answer("504 Gateway Timeout")
