"""The status and the header fields that an application sends: checked, and turned into what is written.

Runs on the connection's loop thread. `FieldLines` belongs to one loop; nothing here writes to a transport.
"""

import re
from collections.abc import Iterable
from typing import Any

from threadserve.http.grammar import TOKEN
from threadserve.types import Field

CONTENT_LENGTH = b"content-length"
TRANSFER_ENCODING = b"transfer-encoding"
CONNECTION = b"connection"
DATE = b"date"
SERVER = b"server"
DECIDED_HERE = frozenset({CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, DATE, SERVER})

FINAL_STATUSES = range(200, 1000)

KNOWN_LIMIT = 1024
KNOWN_LENGTH = 256

_name = re.compile(TOKEN + rb"++")
_value = re.compile(rb"[^\r\n\0]*+")


class FieldLines:
    """The lines of the fields that applications on one loop send again and again, each checked once.

    `known` maps such a field to its line; its keys are tuples of bytes, made here. The names that `DECIDED_HERE` lists
    are never in it, for what becomes of those depends on the response.
    """

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: dict[Field, bytes] = {}

    def learn(self, field: Field) -> bytes:
        """Returns the line of a field that `own_field` returned and that is not known yet. Raises as `field_line`."""
        line = field_line(*field)
        if len(line) <= KNOWN_LENGTH:
            if len(self.known) >= KNOWN_LIMIT:
                self.known.clear()
            self.known[field] = line
        return line


def final_status(status: Any) -> int:
    """The number of a final response's status, whatever class it is of. Raises `ValueError` for what is none."""
    try:
        return FINAL_STATUSES[FINAL_STATUSES.index(status)]
    except ValueError:
        raise ValueError(f"invalid status in the response: {status!r}") from None


def own_bytes(data: Any) -> bytes:
    """What a bytes, a bytearray, a memoryview or another buffer holds, as bytes that nobody else can change.

    Raises `TypeError` for anything else.
    """
    return data if type(data) is bytes else bytes(memoryview(data))


def own_field(field: Iterable[Any]) -> Field:
    """A field of the application's as a tuple of this thread's own: of another thread's, a look-up would take a lock.

    Raises `TypeError` where it is no pair of bytes.
    """
    try:
        name, value = field
        return own_bytes(name), own_bytes(value)
    except (TypeError, ValueError):
        raise TypeError(f"a header's name and value are two bytes, not {field!r}") from None


def field_line(name: bytes, value: bytes) -> bytes:
    """The line of a field, CRLF included.

    Raises `ValueError` for a name that is no token and for a value with a CR, LF or NUL, which could forge further
    fields (RFC 9110 sections 5.1 and 5.5).
    """
    if not _name.fullmatch(name):
        raise ValueError(f"invalid header name in the response: {name!r}")
    if not _value.fullmatch(value):
        raise ValueError(f"CR, LF or NUL in the response's header {name.decode()}: {value!r}")
    return b"%b: %b\r\n" % (name, value)


def field_lines(headers: Iterable[Iterable[Any]]) -> bytes:
    """The lines of an application's fields, CRLFs included. Raises as `own_field` and `field_line` do."""
    return b"".join([field_line(*own_field(field)) for field in headers])


def length_of(value: bytes, declared: int) -> int:
    """The length that a content-length declares after `declared`, which it may repeat; negative where it is the first.

    Raises `ValueError` for what is no length, and for another length (RFC 9110 section 8.6).
    """
    for number in value.split(b","):
        digits = number.strip(b"\t ")
        if not digits.isdigit():
            raise ValueError(f"invalid content-length in the response: {value!r}")
        length = int(digits)
        if declared >= 0 and length != declared:
            raise ValueError(f"different values of content-length in the response: {declared} and {length}")
        declared = length
    return declared


def without_field(name: bytes, lines: bytes) -> bytes:
    """Lines less those of the field with this name, in lower case."""
    return b"".join(line for line in lines.splitlines(keepends=True) if not line.lower().startswith(name + b":"))
