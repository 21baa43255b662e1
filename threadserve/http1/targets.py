"""The forms of a request target (RFC 9112 section 3.2).

Runs on the connection's loop thread; keeps nothing.
"""

from threadserve.http.errors import bad_request
from threadserve.http.grammar import check_host
from threadserve.http.head import RequestHead


def to_origin_form(head: RequestHead) -> None:
    """Change a target in absolute-form to origin-form, and its host to the request's (RFC 9112 section 3.2.2).

    Raises `HTTPError` where it names no good host. A target in asterisk-form stays as it is.
    """
    if head.target == b"*":
        return
    rest = head.target.partition(b"://")[2]
    end = min([position for position in map(rest.find, (b"/", b"?")) if position >= 0], default=len(rest))
    authority, path = rest[:end], rest[end:]
    if not authority:
        raise bad_request("no host in the request target")
    check_host([authority], is_http11=True)
    others = [field for field in head.headers if field[0] != b"host"]
    head.headers = [(b"host", authority), *others]
    head.target = path if path.startswith(b"/") else b"/" + path
