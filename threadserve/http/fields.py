"""What an application sends: the status, the header fields and the body, checked before anything is written.

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
# The length of a body whose fields declare none.
LENGTH_UNKNOWN = -1
# How many digits a length may have, of a request or a response: what they say fits into 64 bits.
MAX_LENGTH_DIGITS = 18

_name = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++")
_value = re.compile(rb"[^\r\n\0]*+")


def check_final_status(status: Any) -> int:
    """The number of a final response's status, whatever class it is of. Raises `ValueError` for what is none."""
    try:
        return FINAL_STATUSES[FINAL_STATUSES.index(status)]
    except ValueError:
        raise ValueError(f"invalid status in the response: {status!r}") from None


def is_date_sent(config: Config) -> bool:
    """Whether the date is ours to tell."""
    return config.date_header and not any(name.lower() == "date" for name, _ in config.headers)


def configured_headers(config: Config) -> list[tuple[str, str]]:
    """The server header, and those that are added to every response."""
    names = {name.lower() for name, _ in config.headers}
    own = [("server", "threadserve")] if config.server_header and "server" not in names else []
    return [*own, *config.headers]


def reason_phrase(status: int) -> str:
    """What a status is called (RFC 9110 section 15); empty for one that is not registered."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def copy_bytes(data: Any) -> bytes:
    """What a bytes, a bytearray, a memoryview or another buffer holds, as bytes that nobody else can change.

    Raises `TypeError` for anything else.
    """
    return data if type(data) is bytes else bytes(memoryview(data))


def copy_body(body: Any) -> bytes:
    """A part of the body as bytes that nobody else can change while they wait for the client. Raises `TypeError`."""
    try:
        return copy_bytes(body)
    except TypeError:
        raise TypeError(f"the body of a response is bytes, not {reprlib.repr(body)}") from None


def copy_field(field: Iterable[Any]) -> Field:
    """A field of the application's as a tuple of this thread's own: of another thread's, a look-up would take a lock.

    Raises `TypeError` where it is no pair of bytes.
    """
    try:
        name, value = field
        return copy_bytes(name), copy_bytes(value)
    except (TypeError, ValueError):
        raise TypeError(f"a header's name and value are two bytes, not {field!r}") from None


def check_field(field: Iterable[Any]) -> Field:
    """A field as `copy_field` returns it, if it may be sent.

    Raises `ValueError` for a name that is no token and for a value with a CR, LF or NUL, which could forge further
    fields (RFC 9110 sections 5.1 and 5.5), and `TypeError` as `copy_field` does.
    """
    own = name, value = copy_field(field)
    if not _name.fullmatch(name):
        raise ValueError(f"invalid header name in the response: {name!r}")
    if not _value.fullmatch(value):
        raise ValueError(f"CR, LF or NUL in the response's header {name.decode()}: {value!r}")
    return own


def parse_content_length(value: bytes, declared: int) -> int:
    """The length that a content-length declares after `declared`, which it may repeat; negative where it is the first.

    Raises `ValueError` for what is no length, and for another length (RFC 9110 section 8.6).
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
    """The values of header fields by these names, which are in lower case there too; None for one that is not there.

    The values of a field that came several times are joined (RFC 9110 section 5.3).
    """
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in names:
            found[name] = b"%b, %b" % (found[name], value) if name in found else value
    return tuple([found.get(name) for name in names])


def has_token(headers: Iterable[Field], name: bytes, token: bytes) -> bool:
    """Whether a field that is a list has an element, both in lower case, whatever parameters that carries."""
    return any(
        element.partition(b";")[0].strip(b"\t ") == token
        for field, value in headers
        if field == name
        for element in value.lower().split(b",")
    )
