"""A stream as the transport of another protocol (RFC 8441 section 5).

Belongs to its stream, on the loop's thread. It owns nothing. The protocol is called as by an event loop.
"""

import asyncio
from collections.abc import Iterable

from h2.errors import ErrorCodes

from threadserve.http.peer import ConnectionProtocol
from threadserve.http.stream import UpgradedProtocol
from threadserve.http2.stream import H2Stream, StreamOwner


class StreamTransport(asyncio.Transport):
    """A transport that writes to a stream and closes it."""

    def __init__(
        self, stream: H2Stream, owner: StreamOwner, protocol: UpgradedProtocol, connection_transport: asyncio.Transport
    ) -> None:
        super().__init__()
        self._connection_transport = connection_transport
        self._stream = stream
        self._owner = owner
        self._protocol: ConnectionProtocol = protocol
        self._is_closing = False

    # Called by the protocol.

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return information of the connection's transport."""
        return self._connection_transport.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue bytes."""
        if not self._is_closing:
            self._stream.send_body(bytes(data), more=True)

    def writelines(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        """Queue bytes."""
        for piece in pieces:
            self.write(piece)

    def can_write_eof(self) -> bool:
        """Return False: closing the stream ends what is written."""
        return False

    def get_write_buffer_size(self) -> int:
        """Return the number of queued bytes."""
        return self._stream.queued

    def is_closing(self) -> bool:
        """Return whether nothing can be written any more."""
        return self._is_closing or self._stream.is_closed

    def pause_reading(self) -> None:
        """Give the client no further window."""
        self._stream.pause_reading()

    def resume_reading(self) -> None:
        """Give the client window again."""
        self._stream.resume_reading()

    def close(self) -> None:
        """End the stream after its queued bytes."""
        if not self._is_closing:
            self._is_closing = True
            self._stream.send_body(b"", more=False)

    def abort(self) -> None:
        """End the stream at once."""
        self._is_closing = True
        self._owner.reset(self._stream, ErrorCodes.CANCEL)

    # Called by the stream, and its connection.

    def data_received(self, data: bytes) -> None:
        """Call the protocol with received bytes."""
        self._protocol.data_received(data)

    def eof_received(self) -> None:
        """Tell the protocol that the client's side has ended."""
        if self._protocol is not None and not self._protocol.eof_received():
            self.close()

    def pause_writing(self) -> None:
        """Tell the protocol that the queue is long."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Tell the protocol that the queue has become short."""
        self._protocol.resume_writing()

    def connection_lost(self) -> None:
        """Tell the protocol that the stream is closed."""
        self._is_closing = True
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            # Break the reference cycle.
            self._stream.detach_tunnel()
            self._owner.loop.call_soon(protocol.connection_lost, None)
