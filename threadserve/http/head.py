"""The head of a request and that of a response, in every version of HTTP.

Made for one exchange, which owns them: a request's on the connection's loop thread, a response's on the thread that
called the application.
"""

import sys

from threadserve.types import Headers

# Interned, and so immortal on free-threaded Python, where the threads would contend for the counts of references.
HTTP_1_0 = sys.intern("1.0")
HTTP_1_1 = sys.intern("1.1")
HTTP_2 = sys.intern("2")


class MessageFraming:
    """The framing of a request: its body's, and what it asks of the connection.

    Never changed once made: the requests of a connection share one while they say the same. `keep_alive` is what the
    client wants of the connection.
    """

    __slots__ = ("chunked", "content_length", "expects_continue", "has_body", "keep_alive", "wants_websocket")

    def __init__(
        self, content_length: int, chunked: bool, keep_alive: bool, expects_continue: bool, wants_websocket: bool
    ) -> None:
        self.content_length = content_length
        self.chunked = chunked
        self.has_body = chunked or content_length > 0
        self.keep_alive = keep_alive
        self.expects_continue = expects_continue
        self.wants_websocket = wants_websocket and not self.has_body


class RequestHead:
    """A request up to its body.

    `target` is as it was sent, `headers` have names in lower case, in the order sent, and `control_fields` are those of
    them that decide about the message or that proxies write.
    """

    __slots__ = ("control_fields", "framing", "headers", "method", "target", "version")

    def __init__(
        self,
        method: str,
        target: bytes,
        headers: Headers,
        control_fields: Headers,
        version: str,
        framing: MessageFraming,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.control_fields = control_fields
        self.version = version
        self.framing = framing


class ResponseHead:
    """A response up to its body, checked and formatted already.

    `text` is the status code, the reason phrase and the lines of the fields, each with its CRLF (RFC 9112 sections 4
    and 5). `length` is the content-length that it declares, or -1. With `closes_connection` it asks for the
    connection's end. `replaced_fields` are the names, in lower case, of the fields that the application gives in place
    of the server's.
    """

    __slots__ = ("closes_connection", "length", "replaced_fields", "status", "text")

    def __init__(
        self, status: int, text: bytes, length: int, closes_connection: bool, replaced_fields: tuple[bytes, ...]
    ) -> None:
        self.status = status
        self.text = text
        self.length = length
        self.closes_connection = closes_connection
        self.replaced_fields = replaced_fields

    def fields(self) -> Headers:
        """Return the fields as an ASGI application would send them."""
        return [(name, value) for name, _, value in [line.partition(b": ") for line in self.text.splitlines()[1:]]]
