"""The opening handshake (RFC 6455 section 4.2): the client's request, and the answer that opens the WebSocket.

Runs on the connection's loop thread, on a request head that has been parsed. Keeps no state.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from threadserve.http.errors import HTTPError, bad_request
from threadserve.http.fields import check_field
from threadserve.types import Field, Headers

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
WEBSOCKET_VERSION = b"13"
UPGRADE_FIELDS = [(b"upgrade", b"websocket"), (b"connection", b"upgrade")]
SUBPROTOCOL = b"sec-websocket-protocol"
HANDSHAKE_FIELDS = frozenset(
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
    """The client's request. `extensions` is its Sec-WebSocket-Extensions field.

    `key` is the Sec-WebSocket-Key, which the answer is computed from; None over HTTP/2, which has none (RFC 8441
    section 5).
    """

    key: bytes | None
    subprotocols: list[str]
    extensions: str


def parse_handshake(headers: Headers, *, is_upgrade: bool) -> Handshake:
    """Parse the headers of a request for a WebSocket, by an upgrade or by a CONNECT of RFC 8441.

    Raises `HTTPError` if they are not valid by RFC 6455 (section 4.2.1).
    """
    versions = header_values(headers, b"sec-websocket-version")
    if versions != [WEBSOCKET_VERSION]:
        fields = [*UPGRADE_FIELDS, (b"sec-websocket-version", WEBSOCKET_VERSION)]
        raise HTTPError(426, "only version 13 of the WebSocket protocol is supported here", fields)
    return Handshake(
        key=parse_key(headers) if is_upgrade else None,
        subprotocols=split_list(header_values(headers, SUBPROTOCOL)),
        extensions=b",".join(header_values(headers, b"sec-websocket-extensions")).decode("latin-1"),
    )


def parse_key(headers: Headers) -> bytes:
    """Return the key. Raises `HTTPError` unless there is one valid key."""
    keys = header_values(headers, b"sec-websocket-key")
    if len(keys) != 1 or not is_valid_key(keys[0]):
        raise bad_request("no single Sec-WebSocket-Key of 16 bytes in base64")
    return keys[0]


def header_values(headers: Headers, name: bytes) -> list[bytes]:
    """Return the values of a field, whose name is in lower case, in their order."""
    return [value for field, value in headers if field == name]


def split_list(values: Iterable[bytes]) -> list[str]:
    """Return the elements of list fields (RFC 9110 section 5.6.1)."""
    stripped = (element.strip(b"\t ") for value in values for element in value.split(b","))
    return [element.decode("latin-1") for element in stripped if element]


def is_valid_key(value: bytes) -> bool:
    """Return whether a value is 16 bytes in base64."""
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False


def build_accept_fields(
    handshake: Handshake, subprotocol: str | None, extensions: str | None, headers: Iterable[Iterable[object]]
) -> list[Field]:
    """Return the fields of the answer that opens the WebSocket, with the extensions and the application's `headers`.

    A field that names a subprotocol counts like `subprotocol`. Raises `ValueError` for a subprotocol that the client
    has not offered, for a field of the handshake itself, or for one that is malformed, and `TypeError` where names or
    values are not bytes.
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
        if name.lower() in HANDSHAKE_FIELDS:
            raise ValueError(f"the header {name!r} is the handshake's to choose, not the application's")
        fields.append(own)
    if chosen:
        fields.append((SUBPROTOCOL, check_subprotocols(chosen, handshake.subprotocols)))
    return fields


def check_subprotocols(chosen: list[str], offered: list[str]) -> bytes:
    """Return the subprotocol. Raises `ValueError` unless it was offered (RFC 6455 section 4.2.2)."""
    for subprotocol in chosen:
        if subprotocol not in offered:
            raise ValueError(f"the subprotocol {subprotocol!r} is not among those that the client offers: {offered!r}")
        if subprotocol != chosen[0]:
            raise ValueError(f"two subprotocols for one WebSocket: {chosen[0]!r} and {subprotocol!r}")
    return chosen[0].encode("latin-1")
