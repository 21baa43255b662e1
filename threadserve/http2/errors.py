"""The errors that end a stream or a connection of HTTP/2 (RFC 9113 section 5.4).

Raised on the connection's loop thread. They own nothing.
"""

from h2.errors import ErrorCodes


class MalformedRequest(Exception):
    """A malformed request (RFC 9113 section 8.1.1): its stream is reset, and no application sees it."""


class H2ConnectionError(Exception):
    """An error of the client's that ends its connection: `code` for the client, and `reason`, one line for the log."""

    def __init__(self, code: ErrorCodes, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
