"""Request heads, made of the fields of a header block (RFC 9113 sections 8.1 to 8.3, RFC 8441 section 4).

Runs on the connection's loop thread. Keeps no state. Fields that a request may not have are refused here, before
anything acts on them: above all those that HTTP/1.1 would read differently.
"""

import re
import sys
from collections.abc import Iterable

from threadserve.http.errors import HTTPError, bad_request
from threadserve.http.grammar import METHODS, TARGET_BYTE, TOKEN, VALUE_BYTE, check_host, check_length, quote_bytes
from threadserve.http.head import HTTP_2, MessageFraming, RequestHead
from threadserve.http2.errors import MalformedRequest
from threadserve.proxies.forwarded import FORWARDED_FIELDS
from threadserve.types import Field, Headers

METHOD_NAMES = {method: sys.intern(method.decode()) for method in METHODS}
CONNECT = "CONNECT"
PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority", b":protocol"})
# Connection-specific fields (section 8.2.2).
CONNECTION_SPECIFIC = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
HTTP_SCHEMES = (b"http", b"https")

_lowercase_name_pattern = re.compile(TOKEN.replace(b"A-Z", b"") + b"++")
# No white space at either end (section 8.2.1).
_value_pattern = re.compile(rb"(?:(?![\t ])%b*+(?<![\t ]))?" % VALUE_BYTE)
_method_pattern = re.compile(TOKEN + b"++")
_path_pattern = re.compile(b"/" + TARGET_BYTE + b"*+")

# The framing of a request without a body, of one with a body of unknown length, and of a WebSocket.
NO_BODY = MessageFraming(0, False, True, False, False)
ANY_BODY = MessageFraming(0, True, True, False, False)
WEBSOCKET = MessageFraming(0, False, True, False, True)


def parse_request(fields: Iterable[Field], has_body: bool, field_limit: int, size_limit: int) -> RequestHead:
    """Return the request head made of these fields.

    Raises `MalformedRequest`, and `HTTPError` for a valid request that this server does not serve.
    """
    pseudo, headers = split_pseudo_fields(fields)
    method = parse_method(pseudo)
    if method == CONNECT and pseudo.get(b":protocol") != b"websocket":
        raise HTTPError(501, "CONNECT is implemented for the protocol websocket alone")
    target = parse_path(pseudo, method)
    check_scheme(pseudo.get(b":scheme"))
    host = parse_authority(pseudo, headers)
    length = check_fields(headers)
    if not has_body and length:
        raise MalformedRequest(f"no body, and a content-length of {length}")
    if len(headers) > field_limit:
        raise HTTPError(431, f"more than {field_limit} header fields")
    if sum([len(name) + len(value) + 4 for name, value in headers]) + len(target) > size_limit:
        raise HTTPError(431, f"the head of the request is longer than {size_limit} bytes")
    headers = [(b"host", host), *join_cookies(headers)]
    special = [field for field in headers if field[0] in FORWARDED_FIELDS]
    rules = WEBSOCKET if method == CONNECT else body_framing(headers, length) if has_body else NO_BODY
    return RequestHead(method, target, headers, special, HTTP_2, rules)


def split_pseudo_fields(fields: Iterable[Field]) -> tuple[dict[bytes, bytes], Headers]:
    """Return the pseudo-header fields, and the other fields (section 8.3)."""
    pseudo: dict[bytes, bytes] = {}
    headers: Headers = []
    for name, value in fields:
        if not _value_pattern.fullmatch(value):
            raise MalformedRequest(f"malformed value of {quote_bytes(name)}: {quote_bytes(value)}")
        if not name.startswith(b":"):
            headers.append((name, value))
        elif name not in PSEUDO:
            raise MalformedRequest(f"unknown pseudo-header field: {quote_bytes(name)}")
        elif name in pseudo:
            raise MalformedRequest(f"more than one {name.decode()}")
        elif headers:
            raise MalformedRequest(f"{name.decode()} behind a header field")
        else:
            pseudo[name] = value
    return pseudo, headers


def parse_method(pseudo: dict[bytes, bytes]) -> str:
    """Return the request's method (section 8.3.1)."""
    method = pseudo.get(b":method", b"")
    if not _method_pattern.fullmatch(method):
        raise MalformedRequest(f"malformed method: {quote_bytes(method)}")
    if method in METHOD_NAMES:
        name = METHOD_NAMES[method]
    elif method == b"CONNECT":
        name = CONNECT
    else:
        raise HTTPError(501, f"method not implemented: {quote_bytes(method)}")
    if b":protocol" in pseudo and name != CONNECT:
        raise MalformedRequest(":protocol in a request that is no CONNECT")
    return name


def parse_path(pseudo: dict[bytes, bytes], method: str) -> bytes:
    """Return the request's target: in origin form, or an asterisk."""
    path = pseudo.get(b":path", b"")
    if not _path_pattern.fullmatch(path) and not (path == b"*" and method == "OPTIONS"):
        raise MalformedRequest(f"malformed :path: {quote_bytes(path)}")
    return path


def check_scheme(scheme: bytes | None) -> None:
    """Raise unless the scheme is one of HTTP's; the scheme in use is known from the connection."""
    if scheme is None:
        raise MalformedRequest("no :scheme")
    if scheme.lower() not in HTTP_SCHEMES:
        raise bad_request(f"unknown scheme: {quote_bytes(scheme)}")


def parse_authority(pseudo: dict[bytes, bytes], headers: Headers) -> bytes:
    """Return the authority, which Host may repeat or replace (section 8.3.1)."""
    hosts = [value for name, value in headers if name == b"host"]
    authority = pseudo.get(b":authority")
    if authority is None:
        check_host(hosts, is_http11=True)
        return hosts[0]
    if any(host.lower() != authority.lower() for host in hosts):
        raise MalformedRequest(f"the authority is {quote_bytes(authority)}, and Host {quote_bytes(hosts[0])}")
    check_host([authority], is_http11=True)
    return authority


def check_fields(headers: Headers) -> int:
    """Check the fields by sections 8.2.1 and 8.2.2; return the content-length, or 0 where there is none."""
    lengths: list[bytes] = []
    for name, value in headers:
        if not _lowercase_name_pattern.fullmatch(name):
            raise MalformedRequest(f"malformed field name: {quote_bytes(name)}")
        if name in CONNECTION_SPECIFIC:
            raise MalformedRequest(f"{name.decode()} is for HTTP/1.1")
        if name == b"te" and value.lower() != b"trailers":
            raise MalformedRequest(f"te is {quote_bytes(value)}, not trailers")
        if name == b"content-length":
            lengths.append(value)
    try:
        return check_length(lengths)
    except HTTPError as error:
        raise MalformedRequest(error.reason) from None


def join_cookies(headers: Headers) -> Headers:
    """Return the fields without Host, and with the pieces of Cookie in one field (section 8.2.3)."""
    cookies = [value for name, value in headers if name == b"cookie"]
    others = [field for field in headers if field[0] != b"host" and field[0] != b"cookie"]
    return [*others, (b"cookie", b"; ".join(cookies))] if cookies else others


def body_framing(headers: Headers, length: int) -> MessageFraming:
    """Return the framing of a request with a body; one of unknown length counts as chunked."""
    is_sized = any(name == b"content-length" for name, _ in headers)
    expects_continue = any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
    return MessageFraming(length, not is_sized, True, expects_continue, False)


def check_trailers(fields: Iterable[Field]) -> None:
    """Raise `MalformedRequest` for invalid trailers (section 8.1). Valid ones are dropped."""
    pseudo, headers = split_pseudo_fields(fields)
    if pseudo:
        raise MalformedRequest("a pseudo-header field in the trailers")
    check_fields([field for field in headers if field[0] != b"content-length"])
