"""The opening handshake (RFC 6455 section 4.2): what a client asks for, and the answer that opens the WebSocket.

Runs on the connection's loop thread, on a head that the grammar and a parser have read; keeps nothing.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from threadserve.http.refusal import CRLF, Refusal, bad_request, status_line
from threadserve.http.response_fields import DATE, SERVER, field_line, own_field, without_field
from threadserve.types import Headers

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION = b"13"
UPGRADE_FIELDS = b"upgrade: websocket\r\nconnection: upgrade\r\n"
SUBPROTOCOL = b"sec-websocket-protocol"
DECIDED_BY_HANDSHAKE = frozenset(
    {
        b"connection",
        b"content-length",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"transfer-encoding",
        b"upgrade",
    }
)


class Handshake(NamedTuple):
    """What a client asks for. `extensions` is its Sec-WebSocket-Extensions field as it stands."""

    key: bytes
    subprotocols: list[str]
    extensions: str


def read_handshake(headers: Headers) -> Handshake:
    """Reads the headers of a request to upgrade. Raises `Refusal` where they are not RFC 6455's (section 4.2.1)."""
    versions = values_of(headers, b"sec-websocket-version")
    if versions != [VERSION]:
        fields = UPGRADE_FIELDS + field_line(b"sec-websocket-version", VERSION)
        raise Refusal(426, "only version 13 of the WebSocket protocol is supported here", fields)
    keys = values_of(headers, b"sec-websocket-key")
    if len(keys) != 1 or not is_key(keys[0]):
        raise bad_request("no single Sec-WebSocket-Key of 16 bytes in base64")
    return Handshake(
        key=keys[0],
        subprotocols=elements(values_of(headers, SUBPROTOCOL)),
        extensions=b",".join(values_of(headers, b"sec-websocket-extensions")).decode("latin-1"),
    )


def values_of(headers: Headers, name: bytes) -> list[bytes]:
    """The values of a field, in lower case, in the order in which they came."""
    return [value for field, value in headers if field == name]


def elements(values: Iterable[bytes]) -> list[str]:
    """The elements of fields that are lists (RFC 9110 section 5.6.1)."""
    stripped = (element.strip(b"\t ") for value in values for element in value.split(b","))
    return [element.decode("latin-1") for element in stripped if element]


def is_key(value: bytes) -> bool:
    """Whether a value is 16 bytes in base64."""
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False


def accept_answer(
    handshake: Handshake,
    default_fields: bytes,
    subprotocol: str | None,
    extensions: str | None,
    headers: Iterable[Iterable[Any]],
) -> bytes:
    """The answer that opens the WebSocket, with the subprotocol, the extensions and the fields that it names.

    A field that names a subprotocol is as good as `subprotocol`. Raises `ValueError` for a subprotocol that the client
    has not offered, for a field that the handshake decides about or that would break the answer, and `TypeError` where
    names or values are no bytes.
    """
    digest = hashlib.sha1(handshake.key + GUID, usedforsecurity=False).digest()
    lines = [status_line(101), UPGRADE_FIELDS, field_line(b"sec-websocket-accept", base64.b64encode(digest))]
    if extensions is not None:
        lines.append(field_line(b"sec-websocket-extensions", extensions.encode("latin-1")))
    chosen = [subprotocol] if subprotocol else []
    for field in headers:
        name, value = own_field(field)
        if name.lower() == SUBPROTOCOL:
            chosen.append(value.strip(b"\t ").decode("latin-1"))
            continue
        lines.append(field_line(name, value))
        if name.lower() in DECIDED_BY_HANDSHAKE:
            raise ValueError(f"the header {name!r} is the handshake's to choose, not the application's")
        if name.lower() in (DATE, SERVER):
            default_fields = without_field(name.lower(), default_fields)
    if chosen:
        lines.append(subprotocol_line(chosen, handshake.subprotocols))
    return b"".join([*lines, default_fields, CRLF])


def subprotocol_line(chosen: list[str], offered: list[str]) -> bytes:
    """The field that names the subprotocol. Raises `ValueError` unless it is one that was offered (RFC 6455 4.2.2)."""
    for subprotocol in chosen:
        if subprotocol not in offered:
            raise ValueError(f"the subprotocol {subprotocol!r} is not among those that the client offers: {offered!r}")
        if subprotocol != chosen[0]:
            raise ValueError(f"two subprotocols for one WebSocket: {chosen[0]!r} and {subprotocol!r}")
    return field_line(SUBPROTOCOL, chosen[0].encode("latin-1"))
