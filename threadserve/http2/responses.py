"""Response heads, as the fields that HTTP/2 sends (RFC 9113 section 8.3.2).

Belongs to the loop's thread; the connections share it. It neither compresses nor sends.
"""

from collections.abc import Iterable
from email.utils import formatdate

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
    merge_content_length,
)
from threadserve.http2.requests import CONNECTION_SPECIFIC
from threadserve.types import Field

HANDLED_FIELDS = CONNECTION_SPECIFIC | {CONTENT_LENGTH, DATE, SERVER}
# Fields that are never indexed: values that seldom repeat would evict others from the client's table, and secrets do
# not belong in it (RFC 7541 section 7.1.3).
NEVER_INDEXED = frozenset(
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

MAX_CACHED_FIELDS = 1024
MAX_CACHED_FIELD_BYTES = 256


class ResponseFields:
    """A response head that is to be sent: its status, the declared length of its body, and its fields."""

    __slots__ = ("fields", "length", "status")

    def __init__(self, status: int) -> None:
        self.status = status
        self.length = LENGTH_UNKNOWN
        self.fields: list[Field] = []

    def declare_length(self, length: int) -> None:
        """Add a content-length to the fields."""
        self.length = length
        self.fields.append(NeverIndexedHeaderTuple(CONTENT_LENGTH, b"%d" % length))


class FieldFormatter:
    """Checks and formats response fields, and caches those that applications repeat.

    `default_fields` are the date, the server, and the headers that are added to every response.
    """

    __slots__ = ("_cache", "_config_fields", "_is_date_sent", "default_fields")

    def __init__(self, config: Config) -> None:
        self._config_fields = [
            to_hpack_field(name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in configured_headers(config)
        ]
        self._is_date_sent = is_date_sent(config)
        self._cache: dict[Field, Field] = {}
        self.default_fields: list[Field] = []
        self.refresh_date()

    def refresh_date(self) -> None:
        """Update the date. Called at every tick."""
        date = [(DATE, formatdate(usegmt=True).encode())] if self._is_date_sent else []
        self.default_fields = [*date, *self._config_fields]

    def prepare(self, status: int, fields: Iterable[Field]) -> ResponseFields:
        """Return the head of a response. Raises the errors of `Stream.prepare_response`."""
        if type(status) is not int or not 200 <= status <= 999:
            status = check_final_status(status)
        head = ResponseFields(status)
        made = head.fields
        made.append((b":status", b"%d" % head.status))
        made += self.default_fields
        cache = self._cache
        given = fields if type(fields) is list else list(fields)
        for field in given:
            try:
                encoded = cache.get(field)
                if encoded is None and field[0] == CONTENT_LENGTH and head.length < 0:
                    digits = field[1]
                    if digits.isdigit() and len(digits) <= MAX_LENGTH_DIGITS:
                        head.length = int(digits)
                        encoded = NeverIndexedHeaderTuple(CONTENT_LENGTH, digits)
            except (AttributeError, TypeError, ValueError):
                # Only tuples of bytes can be looked up; other pairs and buffers are formatted each time.
                encoded = None
            if encoded is None:
                self._add_field(head, copy_field(field))
            else:
                made.append(encoded)
        if head.status == 204 and head.length >= 0:
            # RFC 9110 section 8.6: a response without content has no content-length.
            head.fields = remove_field(CONTENT_LENGTH, made)
        return head

    def _add_field(self, head: ResponseFields, field: Field) -> None:
        """Check and add a field that is not in the cache."""
        name, value = check_field(field)
        lower, value = name.lower(), value.strip(b"\t ")
        if lower not in HANDLED_FIELDS:
            head.fields.append(self._cache_field(field, to_hpack_field(lower, value)))
        elif lower == CONTENT_LENGTH:
            is_first = head.length < 0
            head.length = merge_content_length(value, head.length)
            if is_first:
                head.declare_length(head.length)
        elif lower == DATE or lower == SERVER:
            status, *others = head.fields
            head.fields = [status, *remove_field(lower, others), to_hpack_field(lower, value)]

    def _cache_field(self, field: Field, encoded: Field) -> Field:
        if len(field[0]) + len(field[1]) <= MAX_CACHED_FIELD_BYTES:
            if len(self._cache) >= MAX_CACHED_FIELDS:
                self._cache.clear()
            self._cache[field] = encoded
        return encoded


def to_hpack_field(name: bytes, value: bytes) -> Field:
    """Return a field, marked as never indexed where it should be."""
    return NeverIndexedHeaderTuple(name, value) if name in NEVER_INDEXED else (name, value)


def remove_field(name: bytes, fields: list[Field]) -> list[Field]:
    """Return the fields without those of this name."""
    return [field for field in fields if field[0] != name]


def lowercase_fields(fields: Iterable[Field]) -> list[Field]:
    """Return the fields of trailers or of an informational response. Raises the errors of `check_field`."""
    checked = [check_field(field) for field in fields]
    lowered = [(name.lower(), value.strip(b"\t ")) for name, value in checked]
    return [field for field in lowered if field[0] not in CONNECTION_SPECIFIC]
