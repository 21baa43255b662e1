"""Checks of what an application sends: status, header fields and body, before anything is written.

Runs on the connection's loop thread; keeps nothing.
"""

import re
import reprlib
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from threadserve.config import Config
from threadserve.types import Field

CONTENT_LENGTH = b"content-length"
TRANSFER_ENCODING = b"transfer-encoding"
CONNECTION = b"connection"
DATE = b"date"
SERVER = b"server"

FINAL_STATUSES = range(200, 1000)
# Stands for the length of a body whose fields declare none.
LENGTH_UNKNOWN = -1
# The most digits of a content-length, of a request or a response: their value fits into 64 bits.
MAX_LENGTH_DIGITS = 18
# A cache of header lines is cleared at so many lines; longer lines are not cached.
MAX_CACHED_LINES = 1024
MAX_CACHED_LINE_BYTES = 256

_field_name = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++")
_field_value = re.compile(rb"[^\r\n\0]*+")


def check_final_status(status: int) -> int:
    """Return a final response's status as an int, whatever class it is of. Raises `ValueError` for anything else."""
    try:
        return FINAL_STATUSES[FINAL_STATUSES.index(status)]
    except ValueError:
        raise ValueError(f"invalid status in the response: {status!r}") from None


def is_date_sent(config: Config) -> bool:
    """Return whether the server adds the date to responses."""
    return config.date_header and not any(name.lower() == "date" for name, _ in config.headers)


def configured_headers(config: Config) -> list[tuple[str, str]]:
    """Return the server header and those that are added to every response."""
    names = {name.lower() for name, _ in config.headers}
    own = [("server", "threadserve")] if config.server_header and "server" not in names else []
    return [*own, *config.headers]


def reason_phrase(status: int) -> str:
    """Return the reason phrase of a status (RFC 9110 section 15); empty for one that is not registered."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def copy_bytes(data: Any) -> bytes:
    """Return the contents of a bytes, a bytearray, a memoryview or another buffer as bytes that nobody else can change.

    Raises `TypeError` for anything else.
    """
    return data if type(data) is bytes else bytes(memoryview(data))


def copy_body(body: object) -> bytes:
    """Return a part of a body as bytes that nobody else can change while they wait to be sent. Raises `TypeError`."""
    try:
        return copy_bytes(body)
    except TypeError:
        raise TypeError(f"the body of a response is bytes, not {reprlib.repr(body)}") from None


def copy_field(field: Iterable[object]) -> Field:
    """Return a field of the application's as a tuple of this thread's own: looking up another thread's takes a lock.

    Raises `TypeError` where it is no pair of bytes.
    """
    try:
        name, value = field
        return copy_bytes(name), copy_bytes(value)
    except (TypeError, ValueError):
        raise TypeError(f"a header's name and value are two bytes, not {field!r}") from None


def check_field(field: Iterable[object]) -> Field:
    """Return a field as `copy_field` does, if it may be sent.

    Raises `ValueError` for a name that is no token and for a value with a CR, LF or NUL, which could forge further
    fields (RFC 9110 sections 5.1 and 5.5), and `TypeError` as `copy_field` does.
    """
    own = name, value = copy_field(field)
    if not _field_name.fullmatch(name):
        raise ValueError(f"invalid header name in the response: {name!r}")
    if not _field_value.fullmatch(value):
        raise ValueError(f"CR, LF or NUL in the response's header {name.decode()}: {value!r}")
    return own


def merge_content_length(value: bytes, declared: int) -> int:
    """Return the length of a body that a content-length declares.

    `declared` is that of an earlier content-length, which this one may repeat, or negative. Raises `ValueError` for
    what is no length, and for another length (RFC 9110 section 8.6).
    """
    for number in value.split(b","):
        digits = number.strip(b"\t ")
        if not digits.isdigit() or len(digits) > MAX_LENGTH_DIGITS:
            raise ValueError(f"invalid content-length in the response: {value!r}")
        length = int(digits)
        if declared >= 0 and length != declared:
            raise ValueError(f"different values of content-length in the response: {declared} and {length}")
        declared = length
    return declared


def field_values(names: Sequence[bytes], headers: Iterable[Field]) -> tuple[bytes | None, ...]:
    """Return the values of the header fields with these names, both in lower case; None for a field that is missing.

    The values of a field that came several times are joined (RFC 9110 section 5.3).
    """
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in names:
            found[name] = b"%b, %b" % (found[name], value) if name in found else value
    return tuple([found.get(name) for name in names])


def has_token(headers: Iterable[Field], name: bytes, token: bytes) -> bool:
    """Return whether a field that is a list has an element, both in lower case, whatever its parameters."""
    return any(
        element.partition(b";")[0].strip(b"\t ") == token
        for field, value in headers
        if field == name
        for element in value.lower().split(b",")
    )
