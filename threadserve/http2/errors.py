"""The errors that end a stream or a connection of HTTP/2 (RFC 9113 section 5.4).

Raised on the connection's loop thread; they own nothing.
"""

from h2.errors import ErrorCodes


class MalformedRequest(Exception):
    """A request that is malformed (RFC 9113 section 8.1.1): its stream is reset, unseen by the application."""


class ConnectionFault(Exception):
    """What a client has done that ends its connection: `code` is for it, `reason` one line for the log."""

    def __init__(self, code: ErrorCodes, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
