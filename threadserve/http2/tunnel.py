"""A stream as the transport of another protocol (RFC 8441 section 5).

Belongs to its stream, on the loop's thread; it owns nothing. The protocol is called as by an event loop.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from h2.errors import ErrorCodes

from threadserve.http2.stream import H2Stream, StreamOwner


class StreamTransport(asyncio.Transport):
    """Writes to a stream and closes it, as to a connection of its own."""

    def __init__(self, stream: H2Stream, owner: StreamOwner, protocol: Any, below: asyncio.Transport) -> None:
        super().__init__()
        self._below = below
        self._stream = stream
        self._owner = owner
        self._protocol = protocol
        self._is_closing = False

    # Called by the protocol.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the connection's transport says."""
        return self._below.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queues bytes."""
        if not self._is_closing:
            self._stream.send_body(bytes(data), more=True)

    def writelines(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        """Queues bytes."""
        for piece in pieces:
            self.write(piece)

    def can_write_eof(self) -> bool:
        """Never: the end of what is written closes the stream."""
        return False

    def get_write_buffer_size(self) -> int:
        """How many bytes are queued."""
        return self._stream.queued

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._is_closing or self._stream.is_closed

    def pause_reading(self) -> None:
        """The client may send no more than its window."""
        self._stream.pause_reading()

    def resume_reading(self) -> None:
        """Reads on."""
        self._stream.resume_reading()

    def close(self) -> None:
        """Ends the stream behind what is queued."""
        if not self._is_closing:
            self._is_closing = True
            self._stream.send_body(b"", more=False)

    def abort(self) -> None:
        """Ends the stream at once."""
        self._is_closing = True
        self._owner.reset(self._stream, ErrorCodes.CANCEL)

    # Called by the stream, and its connection.

    def data_received(self, data: bytes) -> None:
        """The client has sent bytes."""
        self._protocol.data_received(data)

    def eof_received(self) -> None:
        """The client sends no more."""
        if self._protocol is not None and not self._protocol.eof_received():
            self.close()

    def pause_writing(self) -> None:
        """The client takes less than is written."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The client has taken enough."""
        self._protocol.resume_writing()

    def connection_lost(self) -> None:
        """The stream is closed."""
        self._is_closing = True
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            # They refer to one another.
            self._stream.detach()
            self._owner.loop.call_soon(protocol.connection_lost, None)
