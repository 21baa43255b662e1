"""The grammar of a request in every version of HTTP: methods, characters, and the fields that decide about it.

Runs on the connection's loop thread; keeps no state and never changes the bytes.
"""

import re

from threadserve.http.errors import bad_request
from threadserve.http.fields import MAX_LENGTH_DIGITS

# The methods that both parsers know: any other is answered 501 with either (RFC 9110 section 9.1).
METHODS = (
    b"GET HEAD POST PUT DELETE OPTIONS PATCH TRACE PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK SEARCH BIND REBIND "
    b"UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE MKCALENDAR LINK UNLINK "
    b"QUERY"
).split()

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
# Without "#": a fragment is no part of a request target (RFC 9112 section 3.2).
TARGET_BYTE = rb"[\x21\x22\x24-\x7e]"
VALUE_BYTE = rb"[\t\x20-\x7e\x80-\xff]"

_length = re.compile(rb"[0-9]{1,%d}" % MAX_LENGTH_DIGITS)
_host = re.compile(
    rb"(?:(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*+|\[[0-9A-Fa-f:.]{2,}+\]|\[v[0-9A-Fa-f]+\.[^\]/@?#]+\])(?::[0-9]{0,5})?"
)


def check_host(hosts: list[bytes], is_http11: bool) -> None:
    """Raise `HTTPError` unless there is one well-formed Host (RFC 9112 section 3.2); HTTP/1.0 may do without."""
    if len(hosts) > 1:
        raise bad_request("more than one Host")
    if not hosts:
        if is_http11:
            raise bad_request("no Host")
    elif not _host.fullmatch(hosts[0]):
        raise bad_request(f"malformed Host: {quote_bytes(hosts[0])}")


def check_length(lengths: list[bytes]) -> int:
    """Return the Content-Length, 0 where there is none; raise `HTTPError` unless it is one plain decimal number."""
    if not lengths:
        return 0
    if len(lengths) > 1:
        raise bad_request("more than one Content-Length")
    if not _length.fullmatch(lengths[0]):
        raise bad_request(f"malformed Content-Length: {quote_bytes(lengths[0])}")
    return int(lengths[0])


def quote_bytes(data: bytes) -> str:
    """Return bytes of the peer as a short text that cannot forge a line of the answer or of the log."""
    return ascii(data[:60].decode("latin-1"))
