"""Reading requests with httptools (llhttp).

Belongs to one connection and runs on its loop thread; see the package for what a parser is handed.
"""

import re

import httptools

from threadserve.errors import ParserError
from threadserve.http.grammar import METHODS
from threadserve.types import Headers

_method_names = {method: method.decode() for method in METHODS}
_trailing_space = re.compile(rb"[\t ]++\r\n")
_upgrade_field = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class HttptoolsParser:
    """A `Parser` over httptools, which calls back while it is fed."""

    __slots__ = ("_body", "_feed", "_method", "headers", "method", "target")

    def __init__(self) -> None:
        self._body: list[bytes] = []
        self._reset_parser()

    def _reset_parser(self) -> None:
        parser = httptools.HttpRequestParser(self)
        self._feed = parser.feed_data
        self._method = parser.get_method

    def read_head(self, data: bytes) -> None:
        """Read a whole head: see `Parser.read_head`."""
        self.target = b""
        self.headers: Headers = []
        if data.find(b" \r") >= 0 or data.find(b"\t\r") >= 0:
            # White space behind a value is no part of it (RFC 9112 section 5), but httptools keeps or refuses it.
            data = _trailing_space.sub(b"\r\n", data)
        try:
            self._feed(data)
        except httptools.HttpParserUpgrade:
            self._decline_upgrade(data)
        except httptools.HttpParserError:
            self._retry_with_new_parser(data)
        if not self.target:
            # httptools takes these bytes for the rest of an earlier body, though the decoder has ended that.
            raise ParserError("no request")
        self.method = _method_names[self._method()]

    def read_body(self, data: bytes) -> bytes:
        """Read a part of the message: see `Parser.read_body`."""
        # Headers from here on are trailers, which are dropped (RFC 9112 section 7.1.2).
        self.headers = []
        body: list[bytes] = []
        self._body = body
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            raise ParserError(str(error)) from error
        return body[0] if len(body) == 1 else b"".join(body)

    def _retry_with_new_parser(self, data: bytes) -> None:
        # llhttp reads nothing more once it has seen `Proxy-Connection: close`, or a `Connection: close` among trailers;
        # neither ends a connection here (RFC 9112 section 9.6). A new parser refuses only what is wrong in itself.
        self.target = b""
        self.headers = []
        self._reset_parser()
        try:
            self._feed(data)
        except httptools.HttpParserUpgrade:
            self._decline_upgrade(data)
        except httptools.HttpParserError as error:
            raise ParserError(str(error)) from error

    def _decline_upgrade(self, data: bytes) -> None:
        # llhttp takes what follows a request to upgrade for another protocol, its body included. One whose upgrade is
        # declined is an ordinary request (RFC 9110 section 7.8): a new parser, which has not seen the field, reads on.
        # Without a body there is nothing left to read, and a request after this one is read as any other.
        if not any(name == b"content-length" or name == b"transfer-encoding" for name, _ in self.headers):
            return
        target, headers = self.target, self.headers
        self.headers = []
        self._reset_parser()
        self._feed(_upgrade_field.sub(b"\r\nx-upgrade:", data))
        self.target, self.headers = target, headers

    def on_url(self, target: bytes) -> None:
        """httptools has read the target."""
        self.target = target

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools has read a field."""
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        """httptools has read some of the body."""
        self._body.append(body)
