"""The error that refuses a request, in every version of HTTP.

Raised on the connection's loop thread; owns nothing and never touches a transport.
"""

from collections.abc import Sequence

from threadserve.types import Field


class HTTPError(Exception):
    """A request that is refused: `status` is the HTTP status and `reason` one line that names the fault.

    `fields` are headers of this answer beyond those of every response.
    """

    def __init__(self, status: int, reason: str, fields: Sequence[Field] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.fields = fields


def bad_request(reason: str) -> HTTPError:
    """Return the error with 400 (RFC 9110 section 15.5.1)."""
    return HTTPError(400, reason)


def body_too_late() -> HTTPError:
    """Return the error with 408 for a body that stops coming (RFC 9110 section 15.5.9)."""
    return HTTPError(408, "the body of the request took too long")
