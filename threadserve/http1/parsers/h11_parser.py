"""Reading requests with h11.

Belongs to one connection and runs on its loop thread; see the package for what a parser is handed.
"""

import sys

import h11

from threadserve.errors import ParserError
from threadserve.types import Headers


class H11Parser:
    """A `Parser` over h11, of which each message has a fresh connection: h11 only reads here, the writer writes."""

    __slots__ = ("_connection", "headers", "method", "target")

    def read_head(self, data: bytes) -> None:
        """Read a whole head: see `Parser.read_head`."""
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=sys.maxsize)
        request = self._next_event(data)
        if not isinstance(request, h11.Request):
            raise ParserError("no request")
        self.method = request.method.decode()
        self.target = request.target
        self.headers: Headers = list(request.headers)

    def read_body(self, data: bytes) -> bytes:
        """Read a part of the message: see `Parser.read_body`."""
        body = []
        event = self._next_event(data)
        while isinstance(event, h11.Data):
            body.append(bytes(event.data))
            event = self._next_event(b"")
        return body[0] if len(body) == 1 else b"".join(body)

    def _next_event(self, data: bytes) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            # To h11 an empty string is the connection's end.
            if data:
                self._connection.receive_data(data)
            return self._connection.next_event()
        except h11.RemoteProtocolError as error:
            raise ParserError(str(error)) from error
