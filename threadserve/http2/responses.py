"""Responses as the fields that HTTP/2 sends (RFC 9113 section 8.3.2).

Belongs to the loop's thread, as what its connections have in common; it never compresses, and never sends.
"""

from collections.abc import Iterable
from email.utils import formatdate
from typing import Any

from hpack import NeverIndexedHeaderTuple

from threadserve.config import Config
from threadserve.http.fields import (
    CONTENT_LENGTH,
    DATE,
    LENGTH_UNKNOWN,
    MAX_LENGTH_DIGITS,
    SERVER,
    check_field,
    check_final_status,
    configured_headers,
    copy_field,
    is_date_sent,
    parse_content_length,
)
from threadserve.http2.requests import CONNECTION_SPECIFIC
from threadserve.types import Field

DECIDED_HERE = CONNECTION_SPECIFIC | {CONTENT_LENGTH, DATE, SERVER}
# What seldom repeats would push out of a client's table what does, and secrets do not belong there (RFC 7541 section
# 7.1.3).
NOT_INDEXED = frozenset(
    {
        b"age",
        b"content-length",
        b"content-range",
        b"etag",
        b"expires",
        b"last-modified",
        b"location",
        b"set-cookie",
        b"x-request-id",
    }
)

KNOWN_LIMIT = 1024
KNOWN_LENGTH = 256


class ResponseFields:
    """The head of a response that is to be sent: its status, what it declares of its length, and its fields."""

    __slots__ = ("fields", "length", "status")

    def __init__(self, status: int) -> None:
        self.status = status
        self.length = LENGTH_UNKNOWN
        self.fields: list[Field] = []

    def declare_length(self, length: int) -> None:
        """Has the fields say how long the body is."""
        self.length = length
        self.fields.append(NeverIndexedHeaderTuple(CONTENT_LENGTH, b"%d" % length))


class FieldMaker:
    """Checks fields, and knows those that applications send again and again.

    `default` are date and server, and the headers that are added to every response.
    """

    __slots__ = ("_config_fields", "_is_date_sent", "_known", "default")

    def __init__(self, config: Config) -> None:
        self._config_fields = [
            as_sent(name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in configured_headers(config)
        ]
        self._is_date_sent = is_date_sent(config)
        self._known: dict[Field, Field] = {}
        self.default: list[Field] = []
        self.renew()

    def renew(self) -> None:
        """Looks at the date. Called at every tick."""
        date = [(DATE, formatdate(usegmt=True).encode())] if self._is_date_sent else []
        self.default = [*date, *self._config_fields]

    def prepare(self, status: Any, fields: Iterable[Any]) -> ResponseFields:
        """The head of a response. Raises as `Stream.prepare_response` does."""
        if type(status) is not int or not 200 <= status <= 999:
            status = check_final_status(status)
        head = ResponseFields(status)
        made = head.fields
        made.append((b":status", b"%d" % head.status))
        made += self.default
        known = self._known
        own = fields if type(fields) is list else list(fields)
        for field in own:
            try:
                sent = known.get(field)
                if sent is None and field[0] == CONTENT_LENGTH and head.length < 0:
                    digits = field[1]
                    if digits.isdigit() and len(digits) <= MAX_LENGTH_DIGITS:
                        head.length = int(digits)
                        sent = NeverIndexedHeaderTuple(CONTENT_LENGTH, digits)
            except (AttributeError, TypeError, ValueError):
                # Only tuples of bytes can be looked up; other pairs, and other buffers, are as good.
                sent = None
            if sent is None:
                self._add(head, copy_field(field))
            else:
                made.append(sent)
        if head.status == 204 and head.length >= 0:
            # RFC 9110 section 8.6: a response without content has no content-length.
            head.fields = without(CONTENT_LENGTH, made)
        return head

    def _add(self, head: ResponseFields, field: Field) -> None:
        """Adds a field that is not known, or that means something to us."""
        name, value = check_field(field)
        lower, value = name.lower(), value.strip(b"\t ")
        if lower not in DECIDED_HERE:
            head.fields.append(self._learn(field, as_sent(lower, value)))
        elif lower == CONTENT_LENGTH:
            is_first = head.length < 0
            head.length = parse_content_length(value, head.length)
            if is_first:
                head.declare_length(head.length)
        elif lower == DATE or lower == SERVER:
            status, *others = head.fields
            head.fields = [status, *without(lower, others), as_sent(lower, value)]

    def _learn(self, field: Field, sent: Field) -> Field:
        if len(field[0]) + len(field[1]) <= KNOWN_LENGTH:
            if len(self._known) >= KNOWN_LIMIT:
                self._known.clear()
            self._known[field] = sent
        return sent


def as_sent(name: bytes, value: bytes) -> Field:
    """A field, so made that the library compresses it rightly."""
    return NeverIndexedHeaderTuple(name, value) if name in NOT_INDEXED else (name, value)


def without(name: bytes, fields: list[Field]) -> list[Field]:
    """Fields less those with this name."""
    return [field for field in fields if field[0] != name]


def plain_fields(fields: Iterable[Any]) -> list[Field]:
    """Fields as they are sent in trailers and informational responses. Raises as `check_field` does."""
    checked = [check_field(field) for field in fields]
    lowered = [(name.lower(), value.strip(b"\t ")) for name, value in checked]
    return [field for field in lowered if field[0] not in CONNECTION_SPECIFIC]
