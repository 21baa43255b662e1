"""The status and the headers that an application gives to `start_response`: checked, and turned into ASGI's.

Runs on the pool thread that makes the call. `KnownFields` belongs to one pool thread. What comes as a subclass of `str`
is taken for the text that it is, and kept as a plain `str`, so that no method of the application's decides here.
"""

import re
from typing import Any
from wsgiref.util import is_hop_by_hop

from threadserve.http.fields import CONTENT_LENGTH, LENGTH_DIGITS, UNDECLARED
from threadserve.types import Headers

CLOSE = (b"connection", b"close")
KNOWN_LIMIT = 1024

_status = re.compile(r"([2-9][0-9][0-9])(?: [^\x00-\x1f\x7f]*)?")
_name = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_digits = re.compile(rf"[0-9]{{1,{LENGTH_DIGITS}}}")

Field = tuple[bytes, bytes]
# What is sent of a field, if anything, and the content-length that it declares, if it does.
Special = tuple[Field | None, int]


class KnownFields:
    """Statuses and header fields that the application sends again and again, each checked once."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._names: dict[str, bytes] = {}
        self._known: dict[Any, Field] = {}
        # Apart, because there may be many lengths, which must not drive out the others.
        self._special: dict[Any, Special] = {}

    def status(self, text: str) -> int:
        """The code of a status such as "200 OK"; the phrase is the server's to choose (RFC 9112 section 4).

        Raises `ValueError` or `TypeError`.
        """
        if not isinstance(text, str):
            raise TypeError(f"the status given to start_response is not a str: {text!r}")
        return self._statuses.get(text) or self._learn_status(str.__str__(text))

    def fields(self, headers: Any) -> tuple[Headers, int]:
        """The fields as bytes, and the content-length or `UNDECLARED`.

        Fields that concern the connection alone are left out, but for `Connection: close` (RFC 9110 section 7.6.1).
        Raises `ValueError` or `TypeError` for headers that cannot be sent.
        """
        known = self._known
        fields = []
        length = UNDECLARED
        for header in headers if type(headers) is list else pieces_of(headers, "the headers"):
            pair = header if type(header) is tuple else pieces_of(header, "a header")
            try:
                field = known.get(pair)
            except TypeError:
                # It cannot be hashed, and so it is no text.
                field = None
            if field is None:
                field, declared = self._look_up(pair)
                if declared != UNDECLARED:
                    length = declared
                if field is None:
                    continue
            fields.append(field)
        return fields, length

    def _look_up(self, pair: tuple[Any, ...]) -> Special:
        """What becomes of a field that is not known, or that means something to us."""
        if len(pair) != 2:
            raise ValueError(f"a header given to start_response is not a name and a value: {pair!r}")
        name, value = pair
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"header names and values are str, not {name!r}: {value!r}")
        return self._special.get(pair) or self._learn(str.__str__(name), str.__str__(value))

    def _learn_status(self, text: str) -> int:
        match = _status.fullmatch(text)
        if match is None:
            raise ValueError(f"invalid status given to start_response: {text!r}")
        code = int(match[1])
        remember(self._statuses, text, code)
        return code

    def _learn(self, name: str, value: str) -> Special:
        lower = self._names.get(name) or self._learn_name(name)
        field = (lower, encoded(name, value))
        # The key is a tuple of this thread's own: on free-threaded builds, looking up one of another thread takes a
        # lock.
        if lower == CONTENT_LENGTH:
            special: Special = (field, length_from(value))
        elif is_hop_by_hop(name):
            special = (CLOSE if lower == CLOSE[0] and "close" in tokens_of(value) else None, UNDECLARED)
        else:
            remember(self._known, (name, value), field)
            return field, UNDECLARED
        remember(self._special, (name, value), special)
        return special

    def _learn_name(self, name: str) -> bytes:
        if not _name.fullmatch(name):
            raise ValueError(f"invalid header name in the response: {name!r}")
        lower = name.lower().encode()
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
