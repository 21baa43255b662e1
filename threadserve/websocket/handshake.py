"""The opening handshake (RFC 6455 section 4.2): what a client asks for, and the answer that opens the WebSocket.

Runs on the connection's loop thread, on a head that the grammar and a parser have read; keeps nothing.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from threadserve.http.errors import HTTPError, bad_request
from threadserve.http.fields import check_field
from threadserve.types import Field, Headers

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION = b"13"
UPGRADE_FIELDS = [(b"upgrade", b"websocket"), (b"connection", b"upgrade")]
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
    """What a client asks for. `extensions` is its Sec-WebSocket-Extensions field as it stands.

    `key` is what the answer has to show that it knows; None over HTTP/2, which has no such thing (RFC 8441 section 5).
    """

    key: bytes | None
    subprotocols: list[str]
    extensions: str


def read_handshake(headers: Headers, *, is_upgrade: bool) -> Handshake:
    """Reads the headers of a request to go on with WebSocket, by an upgrade or by a CONNECT of RFC 8441.

    Raises `HTTPError` where they are not RFC 6455's (section 4.2.1).
    """
    versions = values_of(headers, b"sec-websocket-version")
    if versions != [VERSION]:
        fields = [*UPGRADE_FIELDS, (b"sec-websocket-version", VERSION)]
        raise HTTPError(426, "only version 13 of the WebSocket protocol is supported here", fields)
    return Handshake(
        key=key_of(headers) if is_upgrade else None,
        subprotocols=elements(values_of(headers, SUBPROTOCOL)),
        extensions=b",".join(values_of(headers, b"sec-websocket-extensions")).decode("latin-1"),
    )


def key_of(headers: Headers) -> bytes:
    """The key. Raises `HTTPError` unless there is a good one."""
    keys = values_of(headers, b"sec-websocket-key")
    if len(keys) != 1 or not is_key(keys[0]):
        raise bad_request("no single Sec-WebSocket-Key of 16 bytes in base64")
    return keys[0]


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


def accept_fields(
    handshake: Handshake, subprotocol: str | None, extensions: str | None, headers: Iterable[Iterable[Any]]
) -> list[Field]:
    """The fields of the answer that opens the WebSocket, with the subprotocol, the extensions and those in `headers`.

    A field that names a subprotocol is as good as `subprotocol`. Raises `ValueError` for a subprotocol that the client
    has not offered, for a field that the handshake decides about or that would break the answer, and `TypeError` where
    names or values are no bytes.
    """
    fields: list[Field] = []
    if handshake.key is not None:
        digest = hashlib.sha1(handshake.key + GUID, usedforsecurity=False).digest()
        fields = [*UPGRADE_FIELDS, (b"sec-websocket-accept", base64.b64encode(digest))]
    if extensions is not None:
        fields.append((b"sec-websocket-extensions", extensions.encode("latin-1")))
    chosen = [subprotocol] if subprotocol else []
    for field in headers:
        name, value = own = check_field(field)
        if name.lower() == SUBPROTOCOL:
            chosen.append(value.strip(b"\t ").decode("latin-1"))
            continue
        if name.lower() in DECIDED_BY_HANDSHAKE:
            raise ValueError(f"the header {name!r} is the handshake's to choose, not the application's")
        fields.append(own)
    if chosen:
        fields.append((SUBPROTOCOL, agreed_subprotocol(chosen, handshake.subprotocols)))
    return fields


def agreed_subprotocol(chosen: list[str], offered: list[str]) -> bytes:
    """The subprotocol. Raises `ValueError` unless it is one that was offered (RFC 6455 section 4.2.2)."""
    for subprotocol in chosen:
        if subprotocol not in offered:
            raise ValueError(f"the subprotocol {subprotocol!r} is not among those that the client offers: {offered!r}")
        if subprotocol != chosen[0]:
            raise ValueError(f"two subprotocols for one WebSocket: {chosen[0]!r} and {subprotocol!r}")
    return chosen[0].encode("latin-1")
