"""A client's WebSocket connection: frames in and out, pings, and the closing handshake (RFC 6455).

Belongs to the loop thread of the stream that was upgraded. It owns the stream's transport from then on. It never looks
into an application's messages.
"""

import asyncio
import os
from collections.abc import Callable
from math import inf
from typing import Protocol

from wsproto.frame_protocol import ParseFailed

from threadserve.http.context import LoopContext
from threadserve.http.flow import FlowControl
from threadserve.types import Message
from threadserve.websocket.close_codes import ABNORMAL_CLOSURE, INTERNAL_ERROR, LOCAL_CODES, SERVICE_RESTART
from threadserve.websocket.codec import encode_frame, encode_frame_head
from threadserve.websocket.deflate import BoundedDeflate
from threadserve.websocket.frame_heads import FINAL, PING, PONG
from threadserve.websocket.message_reader import Close, Event, MessageReader, Ping, Pong, encode_close_frame
from threadserve.websocket.settings import SessionSettings
from threadserve.websocket.states import CLOSING, ENDED, OPEN

PING_PAYLOAD_BYTES = 4


class Session(Protocol):
    """The receiver of the connection's messages."""

    def deliver(self, message: Message) -> int:
        """Take a message; return the number of waiting messages."""
        ...

    def on_closed(self, code: int, reason: str) -> None:
        """End the session: the WebSocket is closed, or the connection lost."""
        ...


class WebSocketConnection:
    """One connection, called by the event loop and by its session."""

    __slots__ = (
        "_byte_metrics",
        "_context",
        "_pending_pong",
        "_ping",
        "_queue_limit",
        "_reader",
        "_session",
        "_state",
        "deadline",
        "deflate",
        "flow",
        "is_paused",
        "release_at",
        "transport",
        "write",
    )

    flow: FlowControl
    transport: asyncio.Transport
    write: Callable[[bytes | bytearray], None]

    def __init__(
        self, session: Session, context: LoopContext, settings: SessionSettings, *, counts_bytes: bool
    ) -> None:
        self._reader = MessageReader(settings.max_size, settings.unmask)
        self.deflate: BoundedDeflate | None = None
        self._context = context
        self._byte_metrics = context.metrics if counts_bytes else None
        self._queue_limit = settings.max_queue
        self._session: Session | None = session
        self._state = OPEN
        self._ping = b""
        self._pending_pong: bytes | None = None
        self.is_paused = False
        self.deadline = self.release_at = inf

    def take_over(self, transport: asyncio.Transport, flow: FlowControl) -> None:
        """Take over the transport of the upgraded stream, and its flow control."""
        self.transport = transport
        self.flow = flow
        self.write = transport.write if self._byte_metrics is None else self._write_counted

    def _write_counted(self, data: bytes | bytearray) -> None:
        if self._byte_metrics is not None:
            self._byte_metrics.sent += len(data)
        self.transport.write(data)

    def open(self, deflate: BoundedDeflate | None, early_data: bytes) -> None:
        """Start to read frames, compressed ones with `deflate`; `early_data` has arrived already."""
        self._context.registry.connections.add(self)
        metrics = self._context.metrics
        if metrics is not None:
            metrics.websockets += 1
            metrics.websockets_open += 1
        if deflate is not None:
            self.deflate = deflate
            self._reader.allow_deflate(deflate)
        self.deadline = self._context.deadlines.ping
        if early_data:
            self._feed(early_data)
        if self._context.registry.is_draining:
            self.begin_shutdown()

    # Called by the event loop.

    def data_received(self, data: bytes) -> None:
        """Read the frames that are complete, and keep the other bytes."""
        if self._state == ENDED:
            return
        if self._byte_metrics is not None:
            self._byte_metrics.received += len(data)
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        self._reader.feed(data)
        if self.is_paused:
            self.flow.pause_reading()
        else:
            self._read_events()

    def _read_events(self) -> None:
        """Read and deliver as many whole frames as the session takes.

        Messages are dropped once the application has closed the WebSocket.
        """
        reader = self._reader
        try:
            while (event := reader.next_event()) is not None:
                if type(event) is str:
                    message: Message = {"type": "websocket.receive", "text": event}
                elif type(event) is bytes:
                    message = {"type": "websocket.receive", "bytes": event}
                elif self._handle_control(event):
                    continue
                else:
                    return
                session = self._session
                if session is not None and session.deliver(message) >= self._queue_limit:
                    self.is_paused = True
                    self.flow.pause_reading()
                    return
        except ParseFailed as error:
            self._fail(error.code, str(error))

    def eof_received(self) -> bool:
        """End the connection: the client sends no more, with or without a close frame."""
        if self._state != ENDED:
            self._state = ENDED
            self.deadline = self._context.deadlines.linger
            self._notify_closed(ABNORMAL_CLOSURE, "")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session: the connection is closed."""
        self._context.registry.connections.discard(self)
        self.deadline = inf
        self._state = ENDED
        self._notify_closed(ABNORMAL_CLOSURE, "")
        self.flow.on_writable()
        # Break a reference cycle by the counting method.
        self.write = self.transport.write
        if self._context.metrics is not None:
            self._context.metrics.websockets_open -= 1
        self._context.registry.check_drained()

    def pause_writing(self) -> None:
        """Make senders wait for the client to read."""
        self.flow.write_paused = True

    def resume_writing(self) -> None:
        """Wake waiting senders, and send a pong that is due."""
        self.flow.on_writable()
        if self._pending_pong is not None and self._state != ENDED:
            self.write(encode_frame(FINAL | PONG, self._pending_pong))
            self._pending_pong = None

    # Called while frames are read.

    def _handle_control(self, event: Event) -> bool:
        """Handle a control frame; return whether another frame may follow it."""
        if isinstance(event, Close):
            self._on_close(event.code, event.reason)
            return False
        if isinstance(event, Ping):
            self._on_ping(event.payload)
        elif isinstance(event, Pong) and event.payload == self._ping and self._state == OPEN:
            self._ping = b""
            self.deadline = self._context.deadlines.ping
        return True

    def _on_ping(self, payload: bytes) -> None:
        """Answer a ping; a client that does not read gets only the last pong (RFC 6455 section 5.5.3)."""
        if self.flow.write_paused:
            self._pending_pong = payload
        elif self._state == OPEN:
            self.write(encode_frame(FINAL | PONG, payload))

    def _on_close(self, code: int, reason: str) -> None:
        """Answer the client's close frame, unless it is an answer, and close (RFC 6455 section 5.5.1)."""
        if self._state == OPEN:
            self._write_close(code, reason)
        self._state = ENDED
        self._notify_closed(code, reason)
        self.deadline = self._context.deadlines.linger
        self.transport.close()

    def _notify_closed(self, code: int, reason: str) -> None:
        """Tell the session that the WebSocket is closed, unless it knows."""
        session, self._session = self._session, None
        if session is not None:
            session.on_closed(code, reason)

    # Called by the session.

    def on_message_taken(self, waiting: int) -> None:
        """Read on when few enough messages wait; called when one was taken while reading is paused."""
        if waiting <= self._queue_limit // 2:
            self._resume_reading()

    def _resume_reading(self) -> None:
        """Read the frames that have arrived, and then from the transport again."""
        self.is_paused = False
        self._read_events()
        if not self.is_paused:
            self.flow.resume_reading()
            if self._ping and self._state == OPEN:
                # The pong may be among the bytes that only now are read.
                self.deadline = self._context.deadlines.pong

    def write_unjoined(self, first: int, payload: bytes) -> None:
        """Write a frame that begins with the byte `first`, without copying its payload to join it to the head."""
        head = encode_frame_head(first, len(payload))
        self.transport.writelines((head, payload))
        if self._byte_metrics is not None:
            self._byte_metrics.sent += len(head) + len(payload)

    def start_closing(self, code: int, reason: str) -> None:
        """Start the closing handshake."""
        self._write_close(code, reason)
        self._state = CLOSING
        self._session = None
        self.flow.watch_progress()
        self.deadline = self._context.deadlines.close
        self._resume_reading()

    def _write_close(self, code: int, reason: str) -> None:
        self.write(encode_close_frame(None if code in LOCAL_CODES else code, reason))

    def _fail(self, code: int, reason: str) -> None:
        """Fail the WebSocket for an error of the client's (RFC 6455 section 7.1.7)."""
        if self._state == OPEN:
            self._write_close(code, reason)
        self._notify_closed(code, reason)
        self._linger()

    def _linger(self) -> None:
        """Read and drop what the client still sends.

        Closing a socket with unread bytes would reset the connection, and the client could lose what was sent last.
        """
        self._state = ENDED
        self.deadline = self._context.deadlines.linger
        self.flow.resume_reading()
        if not self.transport.can_write_eof():
            self.transport.close()
        elif not self.transport.is_closing():
            self.transport.write_eof()

    # Called by the sweep of deadlines and by the shutdown.

    def on_deadline(self) -> None:
        """Send a ping that is due, or end a connection whose client took too long to answer, to close, or to read."""
        deadlines = self._context.deadlines
        if self._state == CLOSING and self.flow.has_progressed():
            self.deadline = deadlines.close
        elif self._state != OPEN:
            self.transport.abort()
        elif not self._ping:
            self._send_ping()
        elif self.flow.reading_paused or self._reader.is_amid_frame or self.flow.has_progressed():
            # The pong may wait behind frames that are not read, or the ping behind bytes that the client still reads.
            self.deadline = deadlines.pong
        else:
            self._write_close(INTERNAL_ERROR, "keepalive ping timeout")
            self._notify_closed(ABNORMAL_CLOSURE, "keepalive ping timeout")
            self._linger()

    def _send_ping(self) -> None:
        payload = os.urandom(PING_PAYLOAD_BYTES)
        self.write(encode_frame(FINAL | PING, payload))
        self.flow.watch_progress()
        self.deadline = self._context.deadlines.pong
        if self.deadline == inf:
            self.deadline = self._context.deadlines.ping
        else:
            self._ping = payload

    def release(self) -> bool:
        """Return False: the application waits for messages here."""
        return False

    def begin_shutdown(self) -> None:
        """Close the WebSocket: the server stops."""
        if self._state == OPEN:
            session = self._session
            self.start_closing(SERVICE_RESTART, "")
            self.deadline = self._context.deadlines.linger
            if session is not None:
                session.on_closed(SERVICE_RESTART, "")

    def abort(self) -> None:
        """Close the connection at once, with unwritten bytes."""
        self.transport.abort()
