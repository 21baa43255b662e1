"""The framing of a request by its header fields (RFC 9112 sections 3.2, 6 and 9.3).

Runs on the connection's loop thread, on the fields that the scan has found; keeps no state. The server alone decides,
so the verdict is the same with every parser.
"""

import re

from threadserve.http.errors import HTTPError, bad_request
from threadserve.http.grammar import TOKEN, check_host, check_length, quote_bytes
from threadserve.http.head import MessageFraming
from threadserve.proxies.forwarded import FORWARDED_FIELDS
from threadserve.types import Headers

FRAMING_FIELDS = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"})
CONTROL_FIELDS = FRAMING_FIELDS | FORWARDED_FIELDS

_tokens = re.compile(TOKEN + rb"++(?:[\t ]*,[\t ]*" + TOKEN + rb"++)*+")


def parse_framing(control_fields: Headers, is_http11: bool) -> MessageFraming:
    """Return the framing that these fields of a request of HTTP/1.1 or 1.0 mean. Raises `HTTPError` if they are
    dangerous.
    """
    check_host([value for name, value in control_fields if name == b"host"], is_http11)
    lengths = [value for name, value in control_fields if name == b"content-length"]
    codings = [value for name, value in control_fields if name == b"transfer-encoding"]
    chunked = bool(codings) and check_codings(codings, is_http11)
    if chunked and lengths:
        raise bad_request("both Content-Length and Transfer-Encoding")
    expects = [value for name, value in control_fields if name == b"expect" and value.lower() == b"100-continue"]
    return MessageFraming(
        check_length(lengths),
        chunked,
        wants_keep_alive(control_fields, is_http11),
        is_http11 and bool(expects),
        is_http11 and wants_websocket(control_fields),
    )


def check_codings(codings: list[bytes], is_http11: bool) -> bool:
    """Return True for a single `chunked`; raise `HTTPError` for every other transfer coding (RFC 9112 section 6.1)."""
    value = b",".join(codings).lower()
    if not is_http11:
        raise bad_request("Transfer-Encoding in an HTTP/1.0 request")
    if value == b"chunked":
        return True
    tokens = [token.strip(b"\t ") for token in value.split(b",")]
    if not _tokens.fullmatch(value) or tokens.count(b"chunked") > 1 or b"chunked" in tokens[:-1]:
        raise bad_request(f"malformed Transfer-Encoding: {quote_bytes(value)}")
    raise HTTPError(501, f"transfer coding not implemented: {quote_bytes(value)}")


def wants_keep_alive(control_fields: Headers, is_http11: bool) -> bool:
    """Return whether the client wants to keep the connection (RFC 9112 section 9.3)."""
    tokens = list_elements(control_fields, b"connection")
    return b"close" not in tokens and (is_http11 or b"keep-alive" in tokens)


def wants_websocket(control_fields: Headers) -> bool:
    """Return whether the client asks for the WebSocket protocol (RFC 6455 section 4.2.1)."""
    return b"websocket" in list_elements(control_fields, b"upgrade") and b"upgrade" in list_elements(
        control_fields, b"connection"
    )


def list_elements(control_fields: Headers, name: bytes) -> set[bytes]:
    """Return the elements of a field that is a list, in lower case."""
    return {
        token.strip(b"\t ") for field, value in control_fields if field == name for token in value.lower().split(b",")
    }
