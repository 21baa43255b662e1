"""The head of a request, as every version of HTTP tells it.

Made on the connection's loop thread, for one exchange, which owns it.
"""

from threadserve.types import Headers


class RequestHead:
    """What a request says before its body.

    `target` is as it was sent, `headers` have names in lower case, in the order sent, and `special` are those of them
    that decide about the message or that proxies write. `keep_alive` is what the client wants of the connection.
    """

    __slots__ = (
        "chunked",
        "content_length",
        "expects_continue",
        "has_body",
        "headers",
        "keep_alive",
        "method",
        "special",
        "target",
        "version",
        "wants_websocket",
    )

    def __init__(
        self,
        method: str,
        target: bytes,
        headers: Headers,
        special: Headers,
        version: str,
        content_length: int,
        chunked: bool,
        keep_alive: bool,
        expects_continue: bool,
        wants_websocket: bool,
        has_body: bool,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.special = special
        self.version = version
        self.content_length = content_length
        self.chunked = chunked
        self.keep_alive = keep_alive
        self.expects_continue = expects_continue
        self.wants_websocket = wants_websocket
        self.has_body = has_body
