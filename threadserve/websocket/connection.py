"""A client's WebSocket connection: frames in and out, pings, and the closing handshake (RFC 6455).

Belongs to the loop thread of the stream that it takes over from. It owns what carries that stream's bytes from then on;
it never looks into an application's messages.
"""

import asyncio
import os
from collections.abc import Callable
from math import inf
from typing import Protocol, cast

from wsproto.frame_protocol import ParseFailed

from threadserve.http.context import LoopContext
from threadserve.http.flow import FlowControl
from threadserve.metrics.loop_metrics import LoopMetrics
from threadserve.types import Message
from threadserve.websocket.closing import ABNORMAL, INTERNAL_ERROR, LOCAL_CODES, SERVICE_RESTART
from threadserve.websocket.codec import frame_head, server_frame
from threadserve.websocket.deflate import BoundedDeflate
from threadserve.websocket.frames import Close, Event, FrameReader, Ping, Pong, close_frame
from threadserve.websocket.heads import FINAL, PING, PONG
from threadserve.websocket.settings import WebSocketSettings

# A connection's phases, in their order.
OPEN = 0
CLOSING = 1  # Our close frame is on its way, and the client's is awaited.
ENDED = 2

PING_SIZE = 4


class Session(Protocol):
    """What takes the messages."""

    def deliver(self, message: Message) -> int:
        """Takes a message. Returns how many wait now."""
        ...

    def on_gone(self, code: int, reason: str) -> None:
        """The WebSocket is closed, or the connection gone."""
        ...


class WebSocketConnection:
    """One connection. The event loop calls it, and its session calls back."""

    __slots__ = (
        "_context",
        "_counts_bytes",
        "_phase",
        "_ping",
        "_pong_due",
        "_queue_limit",
        "_reader",
        "_session",
        "deadline",
        "deflate",
        "flow",
        "is_stalled",
        "release_at",
        "transport",
        "write",
    )

    flow: FlowControl
    transport: asyncio.Transport
    write: Callable[[bytes | bytearray], None]

    def __init__(
        self, session: Session, context: LoopContext, settings: WebSocketSettings, *, counts_bytes: bool
    ) -> None:
        self._reader = FrameReader(settings.max_size, settings.unmask)
        self.deflate: BoundedDeflate | None = None
        self._context = context
        self._counts_bytes = counts_bytes and context.metrics is not None
        self._queue_limit = settings.max_queue
        self._session: Session | None = session
        self._phase = OPEN
        self._ping = b""
        self._pong_due: bytes | None = None
        self.is_stalled = False
        self.deadline = self.release_at = inf

    def take_over(self, transport: asyncio.Transport, flow: FlowControl) -> None:
        """Gets what carries the bytes, and what is known of how the client takes them."""
        self.transport = transport
        self.flow = flow
        self.write = self._write_counted if self._counts_bytes else transport.write

    def _write_counted(self, data: bytes | bytearray) -> None:
        cast("LoopMetrics", self._context.metrics).sent += len(data)
        self.transport.write(data)

    def open(self, deflate: BoundedDeflate | None, rest: bytes) -> None:
        """Frames follow, compressed where there is `deflate`; `rest` has arrived already."""
        self._context.registry.connections.add(self)
        metrics = self._context.metrics
        if metrics is not None:
            metrics.websockets += 1
            metrics.websockets_open += 1
        if deflate is not None:
            self.deflate = deflate
            self._reader.allow_deflate(deflate)
        self.deadline = self._context.deadlines.ping
        if rest:
            self._feed(rest)
        if self._context.registry.is_draining:
            self.begin_shutdown()

    # Called by the event loop.

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived: whole frames are taken up, and the rest is kept."""
        if self._phase == ENDED:
            return
        if self._counts_bytes:
            cast("LoopMetrics", self._context.metrics).received += len(data)
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        self._reader.feed(data)
        if self.is_stalled:
            self.flow.pause_reading()
        else:
            self._take_up()

    def _take_up(self) -> None:
        """Takes up as many frames as are whole and wanted.

        What comes when the application is done with the WebSocket is dropped.
        """
        reader = self._reader
        try:
            while (event := reader.next_event()) is not None:
                if type(event) is str:
                    message: Message = {"type": "websocket.receive", "text": event}
                elif type(event) is bytes:
                    message = {"type": "websocket.receive", "bytes": event}
                elif self._take_control(event):
                    continue
                else:
                    return
                session = self._session
                if session is not None and session.deliver(message) >= self._queue_limit:
                    self.is_stalled = True
                    self.flow.pause_reading()
                    return
        except ParseFailed as error:
            self._fail(error.code, str(error))

    def eof_received(self) -> bool:
        """The client sends no more, which is the end of the connection, with or without a close frame."""
        if self._phase != ENDED:
            self._phase = ENDED
            self.deadline = self._context.deadlines.linger
            self._dismiss(ABNORMAL, "")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by whichever side."""
        self._context.registry.connections.discard(self)
        self.deadline = inf
        self._phase = ENDED
        self._dismiss(ABNORMAL, "")
        self.flow.on_writable()
        # Else what counts refers to the connection, which refers to it.
        self.write = self.transport.write
        if self._context.metrics is not None:
            self._context.metrics.websockets_open -= 1
        self._context.registry.check_drained()

    def pause_writing(self) -> None:
        """The client takes less than is written."""
        self.flow.write_paused = True

    def resume_writing(self) -> None:
        """The client has taken enough."""
        self.flow.on_writable()
        if self._pong_due is not None and self._phase != ENDED:
            self.write(server_frame(FINAL | PONG, self._pong_due))
            self._pong_due = None

    # Called while frames are taken up.

    def _take_control(self, event: Event) -> bool:
        """Takes up a control frame. Returns whether another frame may follow it."""
        if isinstance(event, Close):
            self._on_close(event.code, event.reason)
            return False
        if isinstance(event, Ping):
            self._on_ping(event.payload)
        elif isinstance(event, Pong) and event.payload == self._ping and self._phase == OPEN:
            self._ping = b""
            self.deadline = self._context.deadlines.ping
        return True

    def _on_ping(self, payload: bytes) -> None:
        """Answers. A client that does not read gets but the last of its pongs (RFC 6455 section 5.5.3)."""
        if self.flow.write_paused:
            self._pong_due = payload
        elif self._phase == OPEN:
            self.write(server_frame(FINAL | PONG, payload))

    def _on_close(self, code: int, reason: str) -> None:
        """Ends the WebSocket: the close frame answers ours, or is answered (RFC 6455 section 5.5.1)."""
        if self._phase == OPEN:
            self._write_close(code, reason)
        self._phase = ENDED
        self._dismiss(code, reason)
        self.deadline = self._context.deadlines.linger
        self.transport.close()

    def _dismiss(self, code: int, reason: str) -> None:
        """Tells the application that the WebSocket is closed, unless it knows."""
        session, self._session = self._session, None
        if session is not None:
            session.on_gone(code, reason)

    # Called by the session.

    def on_received(self, waiting: int) -> None:
        """A message has been taken, after so many waited that no more were taken up; `waiting` still do."""
        if waiting <= self._queue_limit // 2:
            self._go_on()

    def _go_on(self) -> None:
        """Takes up the frames that have been waiting for their turn, and then reads on."""
        self.is_stalled = False
        self._take_up()
        if not self.is_stalled:
            self.flow.resume_reading()

    def write_large(self, first: int, payload: bytes) -> None:
        """Queues a frame that begins with the byte `first`, without a copy to join its payload to the head."""
        head = frame_head(first, len(payload))
        self.transport.writelines((head, payload))
        if self._counts_bytes:
            cast("LoopMetrics", self._context.metrics).sent += len(head) + len(payload)

    def begin_close(self, code: int, reason: str) -> None:
        """Begins the closing handshake."""
        self._write_close(code, reason)
        self._phase = CLOSING
        self._session = None
        self.flow.watch_progress()
        self.deadline = self._context.deadlines.close
        self._go_on()

    def _write_close(self, code: int, reason: str) -> None:
        self.write(close_frame(None if code in LOCAL_CODES else code, reason))

    def _fail(self, code: int, reason: str) -> None:
        """Fails the WebSocket for the client's fault (RFC 6455 section 7.1.7)."""
        if self._phase == OPEN:
            self._write_close(code, reason)
        self._dismiss(code, reason)
        self._linger()

    def _linger(self) -> None:
        """Reads past what the client still sends.

        Closing with unread bytes would reset the connection, and what was written last could be lost.
        """
        self._phase = ENDED
        self.deadline = self._context.deadlines.linger
        self.flow.resume_reading()
        if not self.transport.can_write_eof():
            self.transport.close()
        elif not self.transport.is_closing():
            self.transport.write_eof()

    # Called by the sweep and by the shutdown.

    def on_deadline(self) -> None:
        """A ping is due, or the client took too long: to answer one, to close, or to take the last bytes."""
        deadlines = self._context.deadlines
        if self._phase == CLOSING and self.flow.has_progressed():
            self.deadline = deadlines.close
        elif self._phase != OPEN:
            self.transport.abort()
        elif not self._ping:
            self._send_ping()
        elif self.flow.reading_paused or self._reader.is_amid_frame or self.flow.has_progressed():
            # The pong may be waiting behind what is not taken up, or the ping behind what the client still takes.
            self.deadline = deadlines.pong
        else:
            self._write_close(INTERNAL_ERROR, "keepalive ping timeout")
            self._dismiss(ABNORMAL, "keepalive ping timeout")
            self._linger()

    def _send_ping(self) -> None:
        payload = os.urandom(PING_SIZE)
        self.write(server_frame(FINAL | PING, payload))
        self.flow.watch_progress()
        self.deadline = self._context.deadlines.pong
        if self.deadline == inf:
            self.deadline = self._context.deadlines.ping
        else:
            self._ping = payload

    def release(self) -> bool:
        """Never: its application waits for messages."""
        return False

    def begin_shutdown(self) -> None:
        """The server is stopping: a WebSocket is closed at once."""
        if self._phase == OPEN:
            session = self._session
            self.begin_close(SERVICE_RESTART, "")
            self.deadline = self._context.deadlines.linger
            if session is not None:
                session.on_gone(SERVICE_RESTART, "")

    def abort(self) -> None:
        """Closes the connection at once, unwritten bytes and all."""
        self.transport.abort()
