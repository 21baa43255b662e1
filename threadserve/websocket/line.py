"""What a WebSocket's exchange sees of its connection.

Runs on the connection's loop thread; declares a surface and holds nothing.
"""

from typing import Protocol

from threadserve.http.outlet import Outlet
from threadserve.websocket.deflate import BoundedDeflate


class Line(Outlet, Protocol):
    """The connection, seen from its exchange."""

    is_stalled: bool
    deflate: BoundedDeflate | None

    def open(self, answer: bytes, deflate: BoundedDeflate | None) -> None:
        """Sends the answer that accepts the handshake; frames follow, compressed where there is `deflate`."""
        ...

    def write_large(self, first: int, payload: bytes) -> None:
        """Queues a frame that begins with the byte `first`, without a copy to join its payload to the head."""
        ...

    def on_received(self, waiting: int) -> None:
        """The application has taken a message, after so many waited that no more were taken up; `waiting` still do."""
        ...

    def begin_close(self, code: int, reason: str) -> None:
        """Begins the closing handshake."""
        ...
