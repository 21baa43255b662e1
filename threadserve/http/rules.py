"""What the header fields of a request mean for the message itself (RFC 9112 sections 3.2, 6 and 9.3).

Runs on the connection's loop thread, on the fields that either parser read; keeps no state. The verdict is ours alone,
so it is the same over both parsers.
"""

import re
from typing import NamedTuple

from threadserve.http.grammar import FIELD, TOKEN, readable, too_long
from threadserve.http.refusal import Refusal, bad_request
from threadserve.proxies.forwarded import FIELDS as FORWARDED_FIELDS
from threadserve.types import Headers

DECISIVE = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"})
SPECIAL = DECISIVE | FORWARDED_FIELDS

_digits = re.compile(rb"[0-9]{1,18}")
_tokens = re.compile(TOKEN + rb"++(?:[\t ]*,[\t ]*" + TOKEN + rb"++)*+")
_host = re.compile(
    rb"(?:(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*+|\[[0-9A-Fa-f:.]{2,}+\]|\[v[0-9A-Fa-f]+\.[^\]/@?#]+\])(?::[0-9]{0,5})?"
)


class MessageRules(NamedTuple):
    """What a head says about its message: its body, and what becomes of the connection.

    `is_plain` stands for the most frequent case, HTTP/1.1 without a body.
    """

    is_http11: bool
    content_length: int
    chunked: bool
    keep_alive: bool
    expects_continue: bool
    has_body: bool
    opens_websocket: bool
    is_plain: bool


def read_rules(special: Headers, is_http11: bool) -> MessageRules:
    """Returns what these fields mean in a request of HTTP/1.1 or 1.0; raises `Refusal` where they are dangerous."""
    check_host([value for name, value in special if name == b"host"], is_http11)
    lengths = [value for name, value in special if name == b"content-length"]
    codings = [value for name, value in special if name == b"transfer-encoding"]
    chunked = bool(codings) and check_codings(codings, is_http11)
    if chunked and lengths:
        raise bad_request("both Content-Length and Transfer-Encoding")
    content_length = check_length(lengths)
    has_body = chunked or content_length > 0
    opens_websocket = is_http11 and not has_body and wants_websocket(special)
    expects = any(name == b"expect" and value.lower() == b"100-continue" for name, value in special)
    return MessageRules(
        is_http11=is_http11,
        content_length=content_length,
        chunked=chunked,
        keep_alive=wants_keep_alive(special, is_http11),
        expects_continue=expects and is_http11,
        has_body=has_body,
        opens_websocket=opens_websocket,
        is_plain=is_http11 and not has_body and not opens_websocket,
    )


def check_host(hosts: list[bytes], is_http11: bool) -> None:
    """Raises `Refusal` unless there is one well-formed Host (RFC 9112 section 3.2); HTTP/1.0 may do without."""
    if len(hosts) > 1:
        raise bad_request("more than one Host")
    if not hosts:
        if is_http11:
            raise bad_request("no Host")
    elif not _host.fullmatch(hosts[0]):
        raise bad_request(f"malformed Host: {readable(hosts[0])}")


def check_length(lengths: list[bytes]) -> int:
    """Returns the Content-Length, 0 where there is none; raises `Refusal` unless it is one plain decimal number."""
    if not lengths:
        return 0
    if len(lengths) > 1:
        raise bad_request("more than one Content-Length")
    if not _digits.fullmatch(lengths[0]):
        raise bad_request(f"malformed Content-Length: {readable(lengths[0])}")
    return int(lengths[0])


def check_codings(codings: list[bytes], is_http11: bool) -> bool:
    """Returns True for a single `chunked`; raises `Refusal` for every other transfer coding (RFC 9112 section 6.1)."""
    value = b",".join(codings).lower()
    if not is_http11:
        raise bad_request("Transfer-Encoding in an HTTP/1.0 request")
    if value == b"chunked":
        return True
    tokens = [token.strip(b"\t ") for token in value.split(b",")]
    if not _tokens.fullmatch(value) or tokens.count(b"chunked") > 1 or b"chunked" in tokens[:-1]:
        raise bad_request(f"malformed Transfer-Encoding: {readable(value)}")
    raise Refusal(501, f"transfer coding not implemented: {readable(value)}")


def wants_keep_alive(special: Headers, is_http11: bool) -> bool:
    """Whether the client means to keep the connection (RFC 9112 section 9.3)."""
    tokens = tokens_of(special, b"connection")
    return b"close" not in tokens and (is_http11 or b"keep-alive" in tokens)


def wants_websocket(special: Headers) -> bool:
    """Whether the client means to go on with the WebSocket protocol (RFC 6455 section 4.2.1)."""
    return b"websocket" in tokens_of(special, b"upgrade") and b"upgrade" in tokens_of(special, b"connection")


def tokens_of(special: Headers, name: bytes) -> set[bytes]:
    """The elements of a field that is a list, in lower case."""
    return {token.strip(b"\t ") for field, value in special if field == name for token in value.lower().split(b",")}


def special_fields(head: bytes) -> Headers:
    """The fields of a head, as its bytes have them, that decide about the message."""
    fields = [(name.lower(), value.rstrip(b"\t ")) for name, value in FIELD.findall(head, head.index(b"\n") + 1)]
    return [field for field in fields if field[0] in SPECIAL]


def refuse_head(head: bytes, size_limit: int, field_limit: int) -> Refusal:
    """The refusal of a head that passed the grammar and that the parser refused.

    Our own rules are asked first, from the bytes alone, so that the answer does not depend on the parser.
    """
    if len(head) > size_limit or head.count(b"\n") - 2 > field_limit:
        return too_large(head, size_limit, field_limit)
    try:
        read_rules(special_fields(head), head[head.index(b"\r") - 1 : head.index(b"\r")] == b"1")
    except Refusal as refusal:
        return refusal
    return bad_request("malformed request")


def too_large(head: bytes, size_limit: int, field_limit: int) -> Refusal:
    """The refusal of a head with more bytes or more fields than it may have."""
    if len(head) > size_limit:
        return too_long(head, size_limit)
    return Refusal(431, f"more than {field_limit} header fields")
