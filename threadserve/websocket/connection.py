"""A client's WebSocket connection: frames in and out, pings, and the closing handshake (RFC 6455).

Belongs to the loop thread of the HTTP connection that it takes over from. It owns the transport from then on; it never
looks into an application's messages.
"""

import asyncio
import os
from collections.abc import Callable
from math import inf
from typing import Any

from wsproto.frame_protocol import CloseReason, ParseFailed

from threadserve.http.flow import FlowControl
from threadserve.http.loop_state import LoopState
from threadserve.types import Message
from threadserve.websocket.codec import frame_head, server_frame
from threadserve.websocket.deflate import BoundedDeflate
from threadserve.websocket.exchange import ABNORMAL, INTERNAL_ERROR, SERVICE_RESTART, WebSocketExchange
from threadserve.websocket.frames import Close, Event, FrameReader, Ping, Pong, close_frame
from threadserve.websocket.handshake import Handshake
from threadserve.websocket.heads import FINAL, PING, PONG
from threadserve.websocket.masking import Unmask
from threadserve.websocket.scope import websocket_scope

# A connection's phases, in their order.
CONNECTING = 0
OPEN = 1
CLOSING = 2  # Our close frame is on its way, and the client's is awaited.
ENDED = 3

PING_SIZE = 4


class WebSocketConnection(FlowControl, asyncio.Protocol):
    """One connection. The event loop calls it, and its exchange calls back."""

    __slots__ = (
        "_exchange",
        "_phase",
        "_ping",
        "_pong_due",
        "_queue_limit",
        "_reader",
        "_state",
        "deadline",
        "deflate",
        "is_stalled",
        "write",
    )

    def __init__(self, state: LoopState, transport: asyncio.Transport, unmask: Unmask) -> None:
        super().__init__()
        self._reader = FrameReader(state.ws_max_size, unmask)
        self.deflate: BoundedDeflate | None = None
        self._state = state
        self._queue_limit = state.ws_max_queue
        self._exchange: WebSocketExchange | None = None
        self._phase = CONNECTING
        self._ping = b""
        self._pong_due: bytes | None = None
        self.transport = transport
        self.write: Callable[[bytes | bytearray], None] = transport.write
        self.is_stalled = False
        self.deadline = inf

    def take_over(self, scope: dict[str, Any], handshake: Handshake, rest: bytes) -> None:
        """Begins with the request of an HTTP scope; `rest` is what has arrived behind its head."""
        state = self._state
        state.connections.add(self)
        if rest:
            self.data_received(rest)
        exchange = WebSocketExchange(self, state, websocket_scope(scope, handshake), handshake)
        self._exchange = exchange
        state.requests += 1
        exchange.begin()

    # Called by the event loop.

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived: whole frames are taken up, and the rest is kept."""
        if self._phase == ENDED:
            return
        self._reader.feed(data)
        if self._phase == CONNECTING or self.is_stalled:
            self.pause_reading()
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
                exchange = self._exchange
                if exchange is not None and exchange.deliver(message) >= self._queue_limit:
                    self.is_stalled = True
                    self.pause_reading()
                    return
        except ParseFailed as error:
            self._fail(error.code, str(error))

    def eof_received(self) -> bool:
        """The client sends no more, which is the end of the connection, with or without a close frame."""
        if self._phase != ENDED:
            self._phase = ENDED
            self.deadline = self._state.linger_deadline
            self._dismiss(ABNORMAL, "")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by whichever side."""
        self._state.connections.discard(self)
        self.deadline = inf
        self._phase = ENDED
        self._dismiss(ABNORMAL, "")
        super().resume_writing()
        self._state.check_drained()

    def resume_writing(self) -> None:
        """The client has taken enough."""
        super().resume_writing()
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
            self.deadline = self._state.ping_deadline
        return True

    def _on_ping(self, payload: bytes) -> None:
        """Answers. A client that does not read gets but the last of its pongs (RFC 6455 section 5.5.3)."""
        if self.write_paused:
            self._pong_due = payload
        elif self._phase == OPEN:
            self.write(server_frame(FINAL | PONG, payload))

    def _on_close(self, code: int, reason: str) -> None:
        """Ends the WebSocket: the close frame answers ours, or is answered (RFC 6455 section 5.5.1)."""
        if self._phase == OPEN:
            self._write_close(code, reason)
        self._phase = ENDED
        self._dismiss(code, reason)
        self.deadline = self._state.linger_deadline
        self.transport.close()

    def _dismiss(self, code: int, reason: str) -> None:
        """Tells the application that the WebSocket is closed, unless it knows."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.on_gone(code, reason)

    # Called by the exchange and by its response to a handshake that is denied.

    def open(self, answer: bytes, deflate: BoundedDeflate | None) -> None:
        """See `Line`."""
        self.write(answer)
        if deflate is not None:
            self.deflate = deflate
            self._reader.allow_deflate(deflate)
        self._phase = OPEN
        self.deadline = self._state.ping_deadline
        self._go_on()
        if self._state.draining:
            self.begin_shutdown()

    def on_received(self, waiting: int) -> None:
        """See `Line`."""
        if waiting <= self._queue_limit // 2:
            self._go_on()

    def _go_on(self) -> None:
        """Takes up the frames that have been waiting for their turn, and then reads on."""
        self.is_stalled = False
        self._take_up()
        if not self.is_stalled:
            self.resume_reading()

    def write_large(self, first: int, payload: bytes) -> None:
        """See `Line`."""
        self.transport.writelines((frame_head(first, len(payload)), payload))

    def begin_close(self, code: int, reason: str) -> None:
        """See `Line`."""
        self._write_close(code, reason)
        self._phase = CLOSING
        self._exchange = None
        self._unwritten = self.transport.get_write_buffer_size()
        self.deadline = self._state.close_deadline
        self._go_on()

    def _write_close(self, code: int, reason: str) -> None:
        # RFC 6455 section 7.4.1: these codes say that there was no close frame with a code, so none is sent.
        self.write(close_frame(None if code in LOCAL_CODES else code, reason))

    def on_response_complete(self, exchange: Any) -> None:
        """The response that denies the handshake is queued."""
        if self._exchange is not None:
            self._exchange.on_denied()
        self._exchange = None
        self._linger()

    def close(self) -> None:
        """Ends a denial that is incomplete."""
        self._linger()

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
        self.deadline = self._state.linger_deadline
        self.resume_reading()
        if not self.transport.can_write_eof():
            self.transport.close()
        elif not self.transport.is_closing():
            self.transport.write_eof()

    # Called by the sweep and by the shutdown.

    def on_deadline(self) -> None:
        """A ping is due, or the client took too long: to answer one, to close, or to take the last bytes."""
        state = self._state
        if self._phase == CLOSING and self.takes_more():
            self.deadline = state.close_deadline
        elif self._phase != OPEN:
            self.transport.abort()
        elif not self._ping:
            self._send_ping()
        elif self._reading_paused or self._reader.is_amid_frame or self.takes_more():
            # The pong may be waiting behind what is not taken up, or the ping behind what the client still takes.
            self.deadline = state.pong_deadline
        else:
            self._write_close(INTERNAL_ERROR, "keepalive ping timeout")
            self._dismiss(ABNORMAL, "keepalive ping timeout")
            self._linger()

    def _send_ping(self) -> None:
        payload = os.urandom(PING_SIZE)
        self.write(server_frame(FINAL | PING, payload))
        self._unwritten = self.transport.get_write_buffer_size()
        self.deadline = self._state.pong_deadline
        if self.deadline == inf:
            self.deadline = self._state.ping_deadline
        else:
            self._ping = payload

    def begin_shutdown(self) -> None:
        """The server is stopping: a WebSocket is closed at once; an unanswered handshake, once it is accepted."""
        if self._phase == OPEN:
            exchange = self._exchange
            self.begin_close(SERVICE_RESTART, "")
            self.deadline = self._state.linger_deadline
            if exchange is not None:
                exchange.on_gone(SERVICE_RESTART, "")

    def abort(self) -> None:
        """Closes the connection at once, unwritten bytes and all."""
        self.transport.abort()


LOCAL_CODES = frozenset({CloseReason.NO_STATUS_RCVD, CloseReason.ABNORMAL_CLOSURE, CloseReason.TLS_HANDSHAKE_FAILED})
