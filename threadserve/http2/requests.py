"""A request's head out of the fields that it came in (RFC 9113 sections 8.1 to 8.3, RFC 8441 section 4).

Runs on the connection's loop thread; keeps nothing. What may not be in a request is refused here, before anybody acts
on it: above all what HTTP/1.1 would read in another way.
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
# Section 8.2.2.
CONNECTION_SPECIFIC = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
SCHEMES = (b"http", b"https")

_name = re.compile(TOKEN.replace(b"A-Z", b"") + b"++")
# No white space at either end (section 8.2.1).
_value = re.compile(rb"(?:(?![\t ])%b*+(?<![\t ]))?" % VALUE_BYTE)
_method = re.compile(TOKEN + b"++")
_path = re.compile(b"/" + TARGET_BYTE + b"*+")

# The rules of a request without a body, with one of whatever length, and of one to go on with WebSocket.
NO_BODY = MessageFraming(0, False, True, False, False)
ANY_BODY = MessageFraming(0, True, True, False, False)
WEBSOCKET = MessageFraming(0, False, True, False, True)


def read_request(fields: Iterable[Field], has_body: bool, field_limit: int, size_limit: int) -> RequestHead:
    """The head that these fields are. Raises `MalformedRequest`, and `HTTPError` for what is only not served here."""
    pseudo, headers = split(fields)
    method = method_of(pseudo)
    if method == CONNECT and pseudo.get(b":protocol") != b"websocket":
        raise HTTPError(501, "CONNECT is implemented for the protocol websocket alone")
    target = target_of(pseudo, method)
    check_scheme(pseudo.get(b":scheme"))
    host = host_of(pseudo, headers)
    length = check_fields(headers)
    if not has_body and length:
        raise MalformedRequest(f"no body, and a content-length of {length}")
    if len(headers) > field_limit:
        raise HTTPError(431, f"more than {field_limit} header fields")
    if sum([len(name) + len(value) + 4 for name, value in headers]) + len(target) > size_limit:
        raise HTTPError(431, f"the head of the request is longer than {size_limit} bytes")
    headers = [(b"host", host), *joined_cookies(headers)]
    special = [field for field in headers if field[0] in FORWARDED_FIELDS]
    rules = WEBSOCKET if method == CONNECT else rules_of(headers, length) if has_body else NO_BODY
    return RequestHead(method, target, headers, special, HTTP_2, rules)


def split(fields: Iterable[Field]) -> tuple[dict[bytes, bytes], Headers]:
    """The pseudo-header fields, and the others (section 8.3)."""
    pseudo: dict[bytes, bytes] = {}
    headers: Headers = []
    for name, value in fields:
        if not _value.fullmatch(value):
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


def method_of(pseudo: dict[bytes, bytes]) -> str:
    """The request's method (section 8.3.1)."""
    method = pseudo.get(b":method", b"")
    if not _method.fullmatch(method):
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


def target_of(pseudo: dict[bytes, bytes], method: str) -> bytes:
    """The request's target, which is in origin-form, or an asterisk."""
    path = pseudo.get(b":path", b"")
    if not _path.fullmatch(path) and not (path == b"*" and method == "OPTIONS"):
        raise MalformedRequest(f"malformed :path: {quote_bytes(path)}")
    return path


def check_scheme(scheme: bytes | None) -> None:
    """Raises unless the scheme is one of HTTP's: whose it is, the connection says."""
    if scheme is None:
        raise MalformedRequest("no :scheme")
    if scheme.lower() not in SCHEMES:
        raise bad_request(f"unknown scheme: {quote_bytes(scheme)}")


def host_of(pseudo: dict[bytes, bytes], headers: Headers) -> bytes:
    """The authority, which Host may repeat, and takes the place of (section 8.3.1)."""
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
    """Holds the fields against sections 8.2.1 and 8.2.2; returns the content-length, 0 where there is none."""
    lengths: list[bytes] = []
    for name, value in headers:
        if not _name.fullmatch(name):
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


def joined_cookies(headers: Headers) -> Headers:
    """The fields without Host, and with the pieces of Cookie in one (section 8.2.3)."""
    cookies = [value for name, value in headers if name == b"cookie"]
    others = [field for field in headers if field[0] != b"host" and field[0] != b"cookie"]
    return [*others, (b"cookie", b"; ".join(cookies))] if cookies else others


def rules_of(headers: Headers, length: int) -> MessageFraming:
    """What the fields of a request with a body mean; one of unknown length is as good as chunked."""
    is_sized = any(name == b"content-length" for name, _ in headers)
    expects_continue = any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
    return MessageFraming(length, not is_sized, True, expects_continue, False)


def check_trailers(fields: Iterable[Field]) -> None:
    """Raises `MalformedRequest` for trailers that may be none (section 8.1). They go no further."""
    pseudo, headers = split(fields)
    if pseudo:
        raise MalformedRequest("a pseudo-header field in the trailers")
    check_fields([field for field in headers if field[0] != b"content-length"])
