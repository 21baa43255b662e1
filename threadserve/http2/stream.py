"""The stream of one exchange on an HTTP/2 connection.

Belongs to its connection, on the loop's thread. It owns the queue of response data, and knows how far request and
response have come. It never writes to the transport.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from math import inf
from typing import BinaryIO, Protocol

from h2.errors import ErrorCodes

from threadserve.http.exchange import Exchange
from threadserve.http.files import copy_file
from threadserve.http.flow import FlowControl
from threadserve.http.head import MessageFraming, ResponseHead
from threadserve.http.peer import Peer
from threadserve.http.stream import Stream, UpgradedProtocol
from threadserve.http2.errors import MalformedRequest
from threadserve.http2.priorities import Priority
from threadserve.http2.responses import FieldFormatter, ResponseFields, lowercase_fields
from threadserve.types import Field, Headers


class Tunnel(Protocol):
    """The transport of a protocol that has taken over a stream, as the stream and its connection see it."""

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        ...

    def eof_received(self) -> None:
        """The client's side has ended."""
        ...

    def pause_writing(self) -> None:
        """The queue is long."""
        ...

    def resume_writing(self) -> None:
        """The queue has become short."""
        ...

    def connection_lost(self) -> None:
        """The stream is closed."""
        ...


class StreamOwner:
    """The connection, as a stream sees it.

    `loop` is the connection's, `formatter` formats response fields, and `buffer_bytes` is the size of a queue from
    which on the application waits.
    """

    __slots__ = ("buffer_bytes", "formatter", "loop")

    loop: asyncio.AbstractEventLoop
    formatter: FieldFormatter
    buffer_bytes: int

    def send_block(self, stream: "H2Stream", fields: list[Field], *, is_informational: bool, ends: bool) -> None:
        """Send a header block, and with `ends` the end of the response."""
        raise NotImplementedError

    def on_data_queued(self, stream: "H2Stream") -> None:
        """Send, or schedule, the data that a stream has queued."""
        raise NotImplementedError

    def flush_soon(self) -> None:
        """Flush what has been sent, at once or after the frames that are being read."""
        raise NotImplementedError

    def acknowledge(self, stream: "H2Stream", size: int) -> None:
        """Give the client window for `size` bytes more."""
        raise NotImplementedError

    def reset(self, stream: "H2Stream", code: ErrorCodes) -> None:
        """End the stream at once, and drop its queue."""
        raise NotImplementedError

    def on_side_ended(self, stream: "H2Stream") -> None:
        """End the stream if both sides have ended; called when a side ends, and when the response is complete."""
        raise NotImplementedError

    def open_tunnel(self, stream: "H2Stream", protocol: UpgradedProtocol) -> None:
        """Connect the stream to another protocol, by a transport."""
        raise NotImplementedError


class H2Stream(Stream):
    """A stream.

    `queued` is the number of bytes to send. `response_has_ended` says that only `trailers` follow them, and
    `response_end_sent` that the end has been sent. `request_has_ended` says that the client sends no more,
    `exchange_is_complete` that the application has sent its whole response, and `is_closed` that nothing reaches the
    client any more. `awaits_window` says that queued data waits for the client's window, and `is_progressing` that
    either side has sent data since the last check. `body_deadline`, in the seconds of the loop's `Deadlines`, is that
    of the next part of the body, while it is the client's turn.
    """

    __slots__ = (
        "_early_data",
        "_expected_bytes",
        "_has_trailers",
        "_head",
        "_is_handshake",
        "_is_head",
        "_owner",
        "_queue",
        "_reading_paused",
        "_sends_body",
        "_unacknowledged",
        "awaits_window",
        "body_deadline",
        "exchange",
        "exchange_is_complete",
        "id",
        "is_closed",
        "is_progressing",
        "priority",
        "queued",
        "request_has_ended",
        "response_end_sent",
        "response_has_ended",
        "sent_fields",
        "trailers",
        "tunnel",
    )

    def __init__(
        self, owner: StreamOwner, number: int, peer: Peer, rules: MessageFraming, priority: Priority, *, is_head: bool
    ) -> None:
        self.flow = FlowControl()
        self.peer = peer
        self.id = number
        self.priority = priority
        self.exchange: Exchange | None = None
        self.tunnel: Tunnel | None = None
        self._owner = owner
        # The bytes that the client has still to send, or -1 if it has not declared them.
        self._expected_bytes = -1 if rules.chunked or rules.wants_websocket else rules.content_length
        # Bytes of a WebSocket that is not accepted yet; the window limits them.
        self._early_data: list[bytes] = []
        self._is_handshake = self._reading_paused = rules.wants_websocket
        self._head: ResponseFields | None = None
        self._is_head = is_head
        self._queue: deque[bytes | memoryview] = deque()
        self._unacknowledged = 0
        self._sends_body = True
        self._has_trailers = False
        self.queued = 0
        self.trailers: list[Field] = []
        self.sent_fields: list[Field] = []
        self.response_has_ended = False
        self.response_end_sent = False
        self.request_has_ended = False
        self.exchange_is_complete = False
        self.is_closed = False
        self.awaits_window = False
        self.body_deadline: float = inf
        self.is_progressing = True

    # From the client.

    def check_length(self, size: int, ends: bool) -> None:
        """Check a body against its content-length. Raises `MalformedRequest` (RFC 9113 section 8.1.1)."""
        if self._expected_bytes < 0:
            return
        self._expected_bytes -= size
        if self._expected_bytes < 0 or (ends and self._expected_bytes > 0):
            self._expected_bytes = 0
            raise MalformedRequest("a body that is not as long as its content-length")

    def on_data(self, data: bytes, size: int, ends: bool) -> bool:
        """Take a part of the request's body, for which the client has spent `size` bytes of its window.

        Returns False when too much has been discarded after the response was complete.
        """
        self.is_progressing = True
        is_wanted = True
        if self.tunnel is not None:
            if data:
                self.tunnel.data_received(data)
        elif self._is_handshake:
            self._early_data.append(data)
        elif self.exchange is not None:
            is_wanted = self.exchange.feed(data, not ends)
        if self._reading_paused:
            self._unacknowledged += size
        elif size:
            self._owner.acknowledge(self, size)
        if ends and self.tunnel is not None:
            self.tunnel.eof_received()
        return is_wanted

    def pause_reading(self) -> None:
        """Give the client no further window (see `Stream`)."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        """Give the client window again (see `Stream`)."""
        self._reading_paused = False
        size, self._unacknowledged = self._unacknowledged, 0
        if size and not self.is_closed:
            self._owner.acknowledge(self, size)

    def take_unacknowledged(self) -> int:
        """Return the bytes for which the client has got no window back, and reset their count."""
        size, self._unacknowledged = self._unacknowledged, 0
        return size

    # Called by the exchange: see `Stream`.

    def prepare_response(self, status: int, fields: Iterable[Field]) -> int:
        """Check and format a head; return the declared length (see `Stream`)."""
        self._head = head = self._owner.formatter.prepare(status, fields)
        self._has_trailers = False
        return head.length

    def prepare_formatted(self, head: ResponseHead) -> None:
        """Take a head that has been checked (see `Stream`)."""
        self.prepare_response(head.status, head.fields())

    def announce_trailers(self) -> None:
        """Expect trailers after the body (see `Stream`)."""
        self._has_trailers = True

    def start_response(self, body: bytes, more: bool) -> None:
        """Send the head, and the first part of the body (see `Stream`)."""
        head, self._head = self._head, None
        if head is None or self.is_closed:
            return
        has_content = head.status != 204 and head.status != 304
        self._sends_body = has_content and not self._is_head
        if head.length < 0 and not more and not self._has_trailers and (self._sends_body or (has_content and body)):
            head.declare_length(len(body))
        ends = not self._sends_body or not (more or body or self._has_trailers)
        self.sent_fields = head.fields
        self._owner.send_block(self, head.fields, is_informational=False, ends=ends)
        if ends:
            self.response_has_ended = self.response_end_sent = True
        if ends or (more and not body):
            self._owner.flush_soon()
        else:
            self.send_body(body, more)

    def send_body(self, data: bytes, more: bool) -> None:
        """Queue a part of the body (see `Stream`)."""
        if self.response_has_ended or self.is_closed:
            return
        self.response_has_ended = not more and not self._has_trailers
        if data:
            if not self.queued:
                self.is_progressing = True
            self._queue.append(data)
            self.queued += len(data)
        if data or self.response_has_ended:
            self._owner.on_data_queued(self)
        if self.queued > self._owner.buffer_bytes and not self.flow.write_paused:
            self.flow.write_paused = True
            if self.tunnel is not None:
                self.tunnel.pause_writing()

    async def send_file(self, file: BinaryIO, offset: int, size: int) -> None:
        """Send a file as the rest of the body (see `Stream`)."""
        self._has_trailers = False
        if self._head is not None:
            if self._head.length < 0 and self._head.status != 204:
                self._head.declare_length(size)
            self.start_response(b"", size > 0)
        if size and self._sends_body:
            file.seek(offset)
            await copy_file(self._owner.loop, self.is_closing, self.flow, self._send_file_block, file, size)
            self.send_body(b"", more=False)

    def _send_file_block(self, block: bytes) -> None:
        self.send_body(block, more=True)

    def send_trailers(self, fields: Iterable[Field], more: bool) -> None:
        """Send trailers (see `Stream`)."""
        self.trailers += lowercase_fields(fields)
        if not more and not self.is_closed:
            self.response_has_ended = True
            self._owner.on_data_queued(self)

    def send_informational(self, status: int, fields: Iterable[Field]) -> None:
        """Send an informational response (see `Stream`)."""
        informational = [(b":status", b"%d" % status), *lowercase_fields(fields)]
        if not self.is_closed:
            self._owner.send_block(self, informational, is_informational=True, ends=False)
            self._owner.flush_soon()

    def end_response(self) -> None:
        """Note that the response is complete (see `Stream`)."""
        self.exchange_is_complete = True
        if self.response_end_sent:
            self._owner.on_side_ended(self)

    def response_fields(self) -> Headers:
        """Return the fields that were sent (see `Stream`)."""
        return [field for field in self.sent_fields if not field[0].startswith(b":")]

    def switch_protocols(self, fields: Iterable[Field], protocol: UpgradedProtocol) -> bytes:
        """Accept a WebSocket (see `Stream`, and RFC 8441 section 5)."""
        head = self._owner.formatter.prepare(200, fields)
        self._owner.send_block(self, head.fields, is_informational=False, ends=False)
        self._owner.flush_soon()
        self._owner.open_tunnel(self, protocol)
        self.resume_reading()
        early, self._early_data = self._early_data, []
        return b"".join(early)

    def is_closing(self) -> bool:
        """Return whether nothing reaches the client any more (see `Stream`)."""
        return self.is_closed

    def probe_client(self) -> None:
        """Do nothing: a client that has gone has reset its stream, or ended the connection (see `Stream`)."""

    def reset(self) -> None:
        """Reset the stream (see `Stream`)."""
        self._owner.reset(self, ErrorCodes.INTERNAL_ERROR)

    # Called by the scheduler.

    def take(self, size: int) -> bytes:
        """Remove and return the first `size` bytes of the queue, which holds as many."""
        if not size:
            return b""
        data = self._take_from_first(size)
        if len(data) < size:
            pieces = [data]
            missing = size - len(data)
            while missing:
                pieces.append(self._take_from_first(missing))
                missing -= len(pieces[-1])
            data = b"".join(pieces)
        self.queued -= size
        self.is_progressing = True
        if self.flow.write_paused and self.queued <= self._owner.buffer_bytes // 2:
            self._resume_writing()
        return data

    def _take_from_first(self, size: int) -> bytes:
        """Remove and return up to `size` bytes of the queue's first part, without copying the rest."""
        first = self._queue.popleft()
        if len(first) <= size:
            return bytes(first)
        view = memoryview(first)
        self._queue.appendleft(view[size:])
        return bytes(view[:size])

    def _resume_writing(self) -> None:
        if self.tunnel is not None:
            self.tunnel.resume_writing()
        self.flow.on_writable()

    def on_end_sent(self) -> None:
        """Note that the end of the response has been sent."""
        self.response_end_sent = True
        self._owner.on_side_ended(self)

    def detach_tunnel(self) -> None:
        """Disconnect the stream from its tunnel."""
        self.tunnel = None
        self.flow = FlowControl()

    def close(self) -> None:
        """Close the stream: drop its queue, and wake its writers."""
        self.is_closed = True
        self._queue.clear()
        self.queued = 0
        self.flow.on_writable()
