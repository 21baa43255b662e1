"""The header fields that an application sends: checked, and turned into lines.

Runs on the connection's loop thread. `FieldLines` belongs to one loop; nothing here writes to a transport.
"""

import re
from collections.abc import Iterable

from threadserve.http.grammar import TOKEN

CONTENT_LENGTH = b"content-length"
TRANSFER_ENCODING = b"transfer-encoding"
CONNECTION = b"connection"
DATE = b"date"
SERVER = b"server"
DECIDED_HERE = frozenset({CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, DATE, SERVER})

KNOWN_LIMIT = 1024
KNOWN_LENGTH = 256

_name = re.compile(TOKEN + rb"++")
_value = re.compile(rb"[^\r\n\0]*+")


class FieldLines:
    """The lines of the fields that applications on one loop send again and again, each checked once.

    `known` maps such a field to its line. The names that `DECIDED_HERE` lists are never in it, for what becomes of
    those depends on the response.
    """

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: dict[tuple[bytes, bytes], bytes] = {}

    def learn(self, field: tuple[bytes, bytes]) -> bytes:
        """Returns the line of a field that is not known yet. Raises as `field_line` does."""
        line = field_line(*field)
        if len(line) <= KNOWN_LENGTH:
            if len(self.known) >= KNOWN_LIMIT:
                self.known.clear()
            # A tuple of this thread's own: on free-threaded builds, looking up one of another thread takes a lock.
            name, value = field
            self.known[name, value] = line
        return line


def field_line(name: bytes, value: bytes) -> bytes:
    """The line of a field, CRLF included.

    Raises `ValueError` for a name that is no token and for a value with a CR, LF or NUL, which could forge further
    fields (RFC 9110 sections 5.1 and 5.5), and `TypeError` where they are no bytes.
    """
    if not isinstance(name, bytes) or not isinstance(value, bytes):
        raise TypeError(f"header names and values are bytes, not {name!r}: {value!r}")
    if not _name.fullmatch(name):
        raise ValueError(f"invalid header name in the response: {name!r}")
    if not _value.fullmatch(value):
        raise ValueError(f"CR, LF or NUL in the response's header {name.decode()}: {value!r}")
    return b"%b: %b\r\n" % (name, value)


def field_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The lines of some fields, CRLFs included. Raises as `field_line` does."""
    return b"".join(field_line(name, value) for name, value in headers)


def without_field(name: bytes, lines: bytes) -> bytes:
    """Lines less those of the field with this name, in lower case."""
    return b"".join(line for line in lines.splitlines(keepends=True) if not line.lower().startswith(name + b":"))
