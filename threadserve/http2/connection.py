"""A client's HTTP/2 connection: frames in, exchanges side by side, frames out (RFC 9113).

Belongs to the loop thread that accepted it. It owns the transport, the library's state and the streams; it never looks
into an application's messages.
"""

import asyncio
import logging
import os
from math import inf
from typing import Any

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    PingAckReceived,
    RemoteSettingsChanged,
    RequestReceived,
    SettingsAcknowledged,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from hyperframe.frame import GoAwayFrame

from threadserve.http.context import LoopContext
from threadserve.http.flow import FlowControl
from threadserve.http.peer import Peer, make_peer
from threadserve.http.write_buffer import WriteBuffer
from threadserve.http2.errors import ConnectionFault
from threadserve.http2.protocol import HTTP2
from threadserve.http2.sending import Sender
from threadserve.http2.state import nothing
from threadserve.http2.states import CLOSED, DRAINING, FINISHING, LINGERING, OPEN
from threadserve.http2.streams import Streams
from threadserve.proxies.protocol import ProxiedAddresses
from threadserve.tls.certificates import LoopTls

logger = logging.getLogger("threadserve.error")

LAST_STREAM_ID = 2**31 - 1
PING_SIZE = 8


class H2Connection:
    """One connection, called by the event loop. See `states` for how far its closing is.

    `_due` is when something is to be done that is not, `_block_due` the same for the rest of a request's head,
    `_bodies_due` when bodies are to be looked at, and `deadline` the earliest of these. `_held_since` is when the
    client stopped taking what is written.
    """

    __slots__ = (
        "_announced",
        "_block_due",
        "_bodies_due",
        "_context",
        "_due",
        "_has_heard",
        "_held_since",
        "_is_busy",
        "_is_held",
        "_output",
        "_ping",
        "_reader",
        "_sender",
        "_state",
        "_streams",
        "_tls",
        "_transport",
        "closing",
        "deadline",
        "flow",
        "peer",
        "release_at",
    )

    peer: Peer

    def __init__(
        self, context: LoopContext, http2: HTTP2, announced: ProxiedAddresses | None, tls: LoopTls | None
    ) -> None:
        bounds = context.bounds
        self.flow = FlowControl()
        self._context = context
        self._announced = announced
        self._tls = tls
        resets = http2.budget(bounds.max_resets, "reset streams")
        control = http2.budget(bounds.max_control_frames, "control frames")
        self._state = http2.state()
        self._output = WriteBuffer(context.write_batcher, in_pieces=tls is not None)
        self._sender = Sender(self._state, self._output, self.flow, control)
        self._streams = Streams(context, http2, self._state, self._sender, resets, control, self._on_idle)
        self._reader = http2.reader(self._streams.open, control, resets)
        # Whether streams are open, which is looked at now and then.
        self._is_busy = False
        # Whether what arrives waits for its turn, or for the client to take what is sent.
        self._is_held = False
        self._has_heard = True
        self._ping = b""
        self._due = inf
        self._block_due = inf
        self._bodies_due = inf
        self._held_since = context.deadlines.now
        self.closing = OPEN
        self.deadline = self.release_at = inf

    # Called by the event loop.

    def connection_made(self, transport: asyncio.Transport) -> None:
        """The connection is open."""
        context = self._context
        self._transport = transport
        self._output.open(transport)
        self.flow.transport = transport
        self.peer = make_peer(transport, self._announced, context.trusted_proxies, self._tls)
        self._streams.peer = self.peer
        self._streams.transport = transport
        self._set_due(context.deadlines.head)
        context.registry.connections.add(self)
        self._sender.flush()
        if context.registry.is_draining:
            self.begin_shutdown()

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        if self.closing == LINGERING or self.closing == CLOSED:
            return
        self._has_heard = True
        if self._context.metrics is not None:
            self._context.metrics.received += len(data)
        self._reader.feed(data)
        if not self._is_held:
            self._advance()

    def eof_received(self) -> bool:
        """The client sends no more, and so has gone: HTTP/2 has a way to say anything else."""
        if self.closing != LINGERING:
            self._sender.flush()
            self._output.flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by whichever side."""
        registry = self._context.registry
        registry.connections.discard(self)
        self.deadline = inf
        self.closing = CLOSED
        self._output.drop()
        self._streams.end_all()
        # They refer to one another.
        self._streams.on_idle = nothing
        self._state.close()
        registry.check_drained()

    def pause_writing(self) -> None:
        """The client takes less than is written: what it sends waits too."""
        self.flow.write_paused = self._is_held = True
        self.flow.pause_reading()
        self.flow.watch_progress()
        self._held_since = self._context.deadlines.now

    def resume_writing(self) -> None:
        """The client has taken enough."""
        self.flow.on_writable()
        self._streams.put_off_bodies(self._context.deadlines.now - self._held_since)
        if self.closing != LINGERING and self.closing != CLOSED:
            self._sender.send()
            self._go_on()

    # Reading frames.

    def _advance(self) -> None:
        """Takes up a few frames; others follow when other connections have had their turn."""
        reader, streams = self._reader, self._streams
        streams.is_advancing = True
        try:
            frames = reader.take(self._context.bounds.frames_per_turn)
            if reader.dropped:
                self._sender.widen(reader.dropped)
            if reader.table_size >= 0:
                self._state.encoder.header_table_size = reader.table_size
            if frames or reader.priorities:
                self._take_up(self._receive(frames))
        except ConnectionFault as fault:
            self._fail(fault)
        streams.is_advancing = False
        if self.closing != LINGERING and self.closing != CLOSED:
            self._sender.send()
            self._go_on()

    def _receive(self, frames: bytes) -> list[Any]:
        """What frames say, by the library. Raises `ConnectionFault` where they may not come."""
        try:
            return self._state.receive_data(frames)
        except ProtocolError as error:
            # Its GOAWAY does not say why.
            self._state.clear_outbound_data_buffer()
            # Of some the text is but a stream's number.
            raise ConnectionFault(error.error_code, f"{type(error).__name__} {error}".strip()) from None

    def _go_on(self) -> None:
        """Reads on, now or later, and sees what the client has how much time for."""
        deadlines = self._context.deadlines
        self._block_due = min(self._block_due, deadlines.head) if self._reader.awaits_block else inf
        if self._streams and not self._is_busy:
            self._is_busy = True
            if self.closing != DRAINING:
                self._due = deadlines.write_stall
        if self._streams:
            self._bodies_due = min(self._bodies_due, deadlines.body)
        self._set_due(self._due)
        if self._reader.peer_leaves:
            self._end_if_idle()
        self._is_held = self.flow.write_paused or self._reader.pending
        if not self._is_held:
            self.flow.resume_reading()
            return
        self.flow.pause_reading()
        if not self.flow.write_paused:
            self._context.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._is_held and self.closing != LINGERING and self.closing != CLOSED and not self.flow.write_paused:
            self._advance()

    def _take_up(self, events: list[Any]) -> None:
        """Acts on what the frames say."""
        streams = self._streams
        gone: set[int] = set()
        for event in events:
            if type(event) is StreamReset:
                # The library has seen all frames, and does nothing more for a stream that the last of them has ended.
                gone.add(event.stream_id)
                streams.on_reset(event)
        pongs: list[bytes] = []
        for event in events:
            kind = type(event)
            if kind is RequestReceived:
                if event.stream_id not in gone:
                    streams.on_request(event)
            elif kind is DataReceived:
                streams.on_data(event)
            elif kind is WindowUpdated:
                streams.on_window(event.stream_id)
            elif kind is TrailersReceived:
                streams.on_trailers(event)
            elif kind is SettingsAcknowledged:
                streams.limit_is_known = True
            elif kind is RemoteSettingsChanged:
                self._state.forget_unknown_settings()
                streams.on_windows()
            elif kind is PingAckReceived:
                pongs.append(event.ping_data)
        for stream_id, value in self._reader.priorities:
            streams.on_priority(stream_id, value)
        streams.start_unstarted()
        # Behind all requests that have come with them.
        for pong in pongs:
            self._on_pong(pong)

    # Closing.

    def _on_idle(self) -> None:
        """No stream is open any more."""
        self._is_busy = False
        self._set_due(self._context.deadlines.idle)
        if self._is_ending():
            # Not at once: what ends the last stream is being sent.
            self._context.loop.call_soon(self._end_if_idle)

    def _is_ending(self) -> bool:
        return self.closing == FINISHING or (self._reader.peer_leaves and self.closing in (OPEN, DRAINING))

    def _end_if_idle(self) -> None:
        if not self._streams and self._is_ending():
            self._linger()

    def _fail(self, fault: ConnectionFault) -> None:
        """Ends the connection for a fault of the client's (section 5.4.1)."""
        code, reason = fault.code, fault.reason
        logger.warning("Ended an HTTP/2 connection from %s: %s, %s", self.peer.label, code.name, reason)
        self._say_goodbye(self._state.highest_inbound_stream_id, code, reason.encode())
        self._streams.end_all()
        self._linger()

    def _say_goodbye(self, last_stream_id: int, code: ErrorCodes = ErrorCodes.NO_ERROR, reason: bytes = b"") -> None:
        """Sends GOAWAY (section 6.8); the library would take it for the end of all that is under way."""
        self._sender.flush()
        frame = GoAwayFrame(0, last_stream_id=last_stream_id, error_code=code, additional_data=reason)
        self._output.write([frame.serialize()], 0)

    def _begin_draining(self) -> None:
        """Has the client open no further stream; which it has begun to open meanwhile, the ping's answer tells."""
        self.closing = DRAINING
        self._streams.end_answered()
        self._say_goodbye(LAST_STREAM_ID)
        self._send_ping()
        deadlines = self._context.deadlines
        self._set_due(deadlines.idle if deadlines.is_draining else deadlines.linger)

    def _finish(self) -> None:
        """Serves no further stream; the connection ends with the last."""
        self.closing = FINISHING
        self._streams.takes_requests = False
        self._say_goodbye(self._state.highest_inbound_stream_id)
        self._set_due(self._context.deadlines.write_stall)
        self._end_if_idle()

    def _linger(self) -> None:
        """Ends the connection and reads past what the client still sends.

        Closing with unread bytes would reset it, and what was sent last could be lost.
        """
        self._sender.flush()
        self._output.flush()
        self.closing = LINGERING
        self._reader.discard()
        self.flow.watch_progress()
        self._block_due = self._bodies_due = inf
        self._set_due(self._context.deadlines.linger)
        self.flow.resume_reading()
        if not self._transport.can_write_eof():
            self._output.close()
        elif not self._transport.is_closing():
            self._output.write_eof()

    def _send_ping(self) -> None:
        self._ping = os.urandom(PING_SIZE)
        self._state.ping(self._ping)
        self._sender.flush()

    def _on_pong(self, data: bytes) -> None:
        if data == self._ping:
            self._ping = b""
            if self.closing == DRAINING:
                self._finish()

    # Called by the sweep and by the shutdown.

    def _set_due(self, due: float) -> None:
        self._due = due
        self.deadline = min(due, self._block_due, self._bodies_due)

    def on_deadline(self) -> None:
        """The client took too long: for a head or a body, to take what is sent, to answer a ping, or to ask at all."""
        deadlines = self._context.deadlines
        if self.closing == LINGERING:
            if self.flow.has_progressed():
                self._set_due(deadlines.linger)
            else:
                self._transport.abort()
        elif self._block_due <= deadlines.now:
            self._fail(ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "the head of a request took too long"))
        elif self._bodies_due <= deadlines.now:
            self._look_at_bodies()
        elif self.closing == DRAINING:
            self._finish()
        elif not self._streams:
            self._begin_draining()
        else:
            self._look()

    def _look_at_bodies(self) -> None:
        """Refuses those that have stopped coming, unless the next of them may wait here to be read."""
        if not self._is_held:
            self._bodies_due = self._streams.refuse_late_bodies() if self._streams else inf
            self._sender.flush()
        self._set_due(self._due)

    def _look(self) -> None:
        """Looks, about once a minute while streams are open, whether the client is there."""
        has_heard, self._has_heard = self._has_heard, False
        if self.flow.write_paused:
            has_heard = self.flow.has_progressed()
        elif not has_heard and not self._ping:
            self._send_ping()
            has_heard = True
        if not has_heard:
            logger.info("Ended an HTTP/2 connection from %s, which has gone silent", self.peer.label)
            self._transport.abort()
            return
        self._streams.end_stalled()
        self._sender.flush()
        if self._streams:
            self._set_due(self._context.deadlines.write_stall)

    def release(self) -> bool:
        """Never: streams and tables belong to the loop."""
        return False

    def begin_shutdown(self) -> None:
        """The server is stopping: requests that are under way are still served."""
        if self.closing == OPEN:
            self._begin_draining()
        elif self.closing == LINGERING:
            self._set_due(min(self._due, self._context.deadlines.linger))

    def abort(self) -> None:
        """Closes the connection at once, unwritten bytes and all, and breaks off the exchanges in flight."""
        self.closing = CLOSED
        # Answers that are only held are complete, and in the access log.
        self._sender.flush()
        self._output.flush()
        self._streams.end_all()
        self._transport.abort()
