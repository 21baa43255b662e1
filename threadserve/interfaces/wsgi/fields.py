"""The status and the headers that an application gives to `start_response`: checked, and turned into ASGI's.

Runs on the pool thread that makes the call. `KnownFields` belongs to one pool thread.
"""

import re
from typing import Any
from wsgiref.util import is_hop_by_hop

from threadserve.types import Headers

CONTENT_LENGTH = b"content-length"
KNOWN_LIMIT = 1024

_status = re.compile(r"([2-9][0-9][0-9])(?: [^\x00-\x1f\x7f]*)?")
_name = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class KnownFields:
    """Statuses and header fields that the application sends again and again, each checked once."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._names: dict[str, bytes] = {}
        self._known: dict[Any, tuple[bytes, bytes]] = {}
        # Apart, because there may be many of them, which must not drive out the others.
        self._lengths: dict[Any, tuple[tuple[bytes, bytes], int]] = {}

    def status(self, text: str) -> int:
        """The code of a status such as "200 OK"; the phrase is the server's to choose (RFC 9112 section 4).

        Raises `ValueError` or `TypeError`.
        """
        return self._statuses.get(text) or self._learn_status(text)

    def fields(self, headers: Any) -> tuple[Headers, int]:
        """The fields as bytes, and the content-length or -1.

        Raises `ValueError` or `TypeError` for those that PEP 3333 forbids.
        """
        if not isinstance(headers, list):
            raise TypeError(f"the headers given to start_response are not a list: {headers!r}")
        known = self._known
        fields = []
        length = -1
        for header in headers:
            key = header if type(header) is tuple else tuple(header)
            field = known.get(key)
            if field is None:
                field, length = self._lengths.get(key) or self._learn(key, length)
            fields.append(field)
        return fields, length

    def _learn_status(self, text: str) -> int:
        if type(text) is not str:
            raise TypeError(f"the status given to start_response is not a str: {text!r}")
        match = _status.fullmatch(text)
        if match is None:
            raise ValueError(f"invalid status given to start_response: {text!r}")
        code = int(match[1])
        remember(self._statuses, text, code)
        return code

    def _learn(self, header: tuple[Any, ...], length: int) -> tuple[tuple[bytes, bytes], int]:
        """A field as bytes, and the content-length that is known from there on, which was `length` before."""
        name, value = header
        if type(name) is not str or type(value) is not str:
            raise TypeError(f"header names and values are str, not {name!r}: {value!r}")
        if _control.search(value):
            raise ValueError(f"control characters in the response's header {name}: {value!r}")
        field = (self._names.get(name) or self._learn_name(name), value.encode("latin-1"))
        # A tuple of this thread's own: on free-threaded builds, looking up one of another thread takes a lock.
        if field[0] == CONTENT_LENGTH:
            length = int(value)
            remember(self._lengths, (name, value), (field, length))
        else:
            remember(self._known, (name, value), field)
        return field, length

    def _learn_name(self, name: str) -> bytes:
        if not _name.fullmatch(name):
            raise ValueError(f"invalid header name in the response: {name!r}")
        if is_hop_by_hop(name):
            raise ValueError(f"the header {name} is the server's to send, not the application's (PEP 3333)")
        lower = name.lower().encode()
        remember(self._names, name, lower)
        return lower


def remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    """Adds to a dict that does not grow without bound."""
    if len(known) >= KNOWN_LIMIT:
        known.clear()
    known[key] = value
