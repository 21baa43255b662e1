"""The head of a request, as every version of HTTP tells it.

Made on the connection's loop thread, for one exchange, which owns it.
"""

import sys

from threadserve.types import Headers

# Interned, and so immortal on free-threaded Python, where the threads would contend for the counts of references.
HTTP_1_0 = sys.intern("1.0")
HTTP_1_1 = sys.intern("1.1")


class MessageRules:
    """What a request's fields mean for the message: its body, and what becomes of the connection.

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
    """What a request says before its body.

    `target` is as it was sent, `headers` have names in lower case, in the order sent, and `special` are those of them
    that decide about the message or that proxies write.
    """

    __slots__ = ("headers", "method", "rules", "special", "target", "version")

    def __init__(
        self, method: str, target: bytes, headers: Headers, special: Headers, version: str, rules: MessageRules
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.special = special
        self.version = version
        self.rules = rules
