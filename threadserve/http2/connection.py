"""A client's HTTP/2 connection: frames in, concurrent exchanges, frames out (RFC 9113).

Belongs to the loop thread that accepted it. It owns the transport, the library's protocol state and the streams. It
never looks into an application's messages.
"""

import asyncio
import logging
import os
from math import inf
from typing import Any

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
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
from threadserve.http2.budgets import Budget
from threadserve.http2.context import HTTP2Context
from threadserve.http2.errors import H2ConnectionError
from threadserve.http2.frames import FrameReader
from threadserve.http2.scheduler import SendScheduler
from threadserve.http2.state_machine import H2StateMachine, ignore
from threadserve.http2.states import CLOSED, DRAINING, FINISHING, LINGERING, OPEN
from threadserve.http2.stream_manager import StreamManager
from threadserve.proxies.protocol import ProxiedAddresses
from threadserve.tls.certificates import LoopTls

logger = logging.getLogger("threadserve.error")

LAST_STREAM_ID = 2**31 - 1
PING_BYTES = 8


class H2Connection:
    """One connection, called by the event loop. `phase` is its `ConnectionPhase`.

    `deadline` is the earliest of `_phase_deadline`, `_head_deadline` for the rest of a request's head, and
    `_bodies_deadline`, at which the streams' bodies are checked. `_paused_since` is the time at which the client
    stopped reading.
    """

    __slots__ = (
        "_bodies_deadline",
        "_context",
        "_has_received",
        "_has_streams",
        "_head_deadline",
        "_is_paused",
        "_output",
        "_paused_since",
        "_phase_deadline",
        "_ping",
        "_proxied_addresses",
        "_reader",
        "_scheduler",
        "_state",
        "_streams",
        "_tls",
        "_transport",
        "deadline",
        "flow",
        "peer",
        "phase",
        "release_at",
    )

    peer: Peer

    def __init__(
        self, context: LoopContext, http2: HTTP2Context, proxied_addresses: ProxiedAddresses | None, tls: LoopTls | None
    ) -> None:
        bounds = context.bounds
        self.flow = FlowControl()
        self._context = context
        self._proxied_addresses = proxied_addresses
        self._tls = tls
        seconds, deadlines = bounds.budget_seconds, context.deadlines
        reset_budget = Budget(bounds.max_resets, seconds, "reset streams", deadlines)
        control_budget = Budget(bounds.max_control_frames, seconds, "control frames", deadlines)
        self._state = H2StateMachine(bounds, http2.head_limit, websockets=context.begin_websocket is not None)
        self._output = WriteBuffer(context.write_batcher, in_pieces=tls is not None)
        self._scheduler = SendScheduler(self._state, self._output, self.flow, control_budget)
        self._streams = StreamManager(
            context, http2, self._state, self._scheduler, reset_budget, control_budget, self._on_idle
        )
        self._reader = FrameReader(http2.head_limit, self._streams.open, control_budget, reset_budget)
        # True if streams were open at the last look.
        self._has_streams = False
        # True while received frames wait for their turn, or for the client to read.
        self._is_paused = False
        self._has_received = True
        self._ping = b""
        self._phase_deadline = inf
        self._head_deadline = inf
        self._bodies_deadline = inf
        self._paused_since = context.deadlines.now
        self.phase = OPEN
        self.deadline = self.release_at = inf

    # Called by the event loop.

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start serving: register the connection and send the settings."""
        context = self._context
        self._transport = transport
        self._output.open(transport)
        self.flow.transport = transport
        self.peer = make_peer(transport, self._proxied_addresses, context.trusted_proxies, self._tls)
        self._streams.peer = self.peer
        self._streams.transport = transport
        self._set_deadline(context.deadlines.head)
        context.registry.connections.add(self)
        self._scheduler.flush()
        if context.registry.is_draining:
            self.begin_shutdown()

    def data_received(self, data: bytes) -> None:
        """Take up received bytes."""
        if self.phase == LINGERING or self.phase == CLOSED:
            return
        self._has_received = True
        if self._context.metrics is not None:
            self._context.metrics.received += len(data)
        self._reader.feed(data)
        if not self._is_paused:
            self._advance()

    def eof_received(self) -> bool:
        """Send what is held, and have the transport closed: a client of HTTP/2 that ends its side has gone."""
        if self.phase != LINGERING:
            self._scheduler.flush()
            self._output.flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End all streams: the connection is closed."""
        registry = self._context.registry
        registry.connections.discard(self)
        self.deadline = inf
        self.phase = CLOSED
        self._output.discard()
        self._streams.disconnect_all()
        # Break the reference cycles.
        self._streams.on_idle = ignore
        self._state.close()
        registry.check_drained()

    def pause_writing(self) -> None:
        """Stop reading, because the client reads more slowly than is written."""
        self.flow.write_paused = self._is_paused = True
        self.flow.pause_reading()
        self.flow.watch_progress()
        self._paused_since = self._context.deadlines.now

    def resume_writing(self) -> None:
        """Send and read on."""
        self.flow.on_writable()
        self._streams.extend_body_deadlines(self._context.deadlines.now - self._paused_since)
        if self.phase != LINGERING and self.phase != CLOSED:
            self._scheduler.send()
            self._continue()

    # Reading frames.

    def _advance(self) -> None:
        """Read a few frames; more follow when other connections have had their turn."""
        reader, streams = self._reader, self._streams
        streams.is_reading = True
        try:
            frames = reader.next_frames(self._context.bounds.frames_per_turn)
            if reader.dropped_bytes:
                self._scheduler.restore_window(reader.dropped_bytes)
            if reader.min_table_size >= 0:
                self._state.encoder.header_table_size = reader.min_table_size
            if frames or reader.priorities:
                self._handle_events(self._parse_frames(frames))
        except H2ConnectionError as fault:
            self._fail(fault)
        streams.is_reading = False
        if self.phase != LINGERING and self.phase != CLOSED:
            self._scheduler.send()
            self._continue()

    def _parse_frames(self, frames: bytes) -> list[Event]:
        """Return the events in these frames, parsed by the library. Raises `H2ConnectionError`."""
        try:
            return self._state.receive_data(frames)
        except ProtocolError as error:
            # Drop the library's GOAWAY, which gives no reason.
            self._state.clear_outbound_data_buffer()
            # The text of some errors is only a stream's number.
            raise H2ConnectionError(error.error_code, f"{type(error).__name__} {error}".strip()) from None

    def _continue(self) -> None:
        """Read on, now or in the loop's next turn, and update the deadlines."""
        deadlines = self._context.deadlines
        self._head_deadline = min(self._head_deadline, deadlines.head) if self._reader.is_amid_block else inf
        if self._streams and not self._has_streams:
            self._has_streams = True
            if self.phase != DRAINING:
                self._phase_deadline = deadlines.write_stall
        if self._streams:
            self._bodies_deadline = min(self._bodies_deadline, deadlines.body)
        self._set_deadline(self._phase_deadline)
        if self._reader.goaway_received:
            self._end_if_idle()
        self._is_paused = self.flow.write_paused or self._reader.pending
        if not self._is_paused:
            self.flow.resume_reading()
            return
        self.flow.pause_reading()
        if not self.flow.write_paused:
            self._context.loop.call_soon(self._resume)

    def _resume(self) -> None:
        if self._is_paused and self.phase != LINGERING and self.phase != CLOSED and not self.flow.write_paused:
            self._advance()

    def _handle_events(self, events: list[Any]) -> None:
        """Handle the library's events."""
        streams = self._streams
        reset_ids: set[int] = set()
        for event in events:
            if type(event) is StreamReset:
                # The library has read all the frames, and does nothing more for a stream that one of them has reset.
                reset_ids.add(event.stream_id)
                streams.on_reset(event)
        pong_payloads: list[bytes] = []
        for event in events:
            event_type = type(event)
            if event_type is RequestReceived:
                if event.stream_id not in reset_ids:
                    streams.on_request(event)
            elif event_type is DataReceived:
                streams.on_data(event)
            elif event_type is WindowUpdated:
                streams.on_window(event.stream_id)
            elif event_type is TrailersReceived:
                streams.on_trailers(event)
            elif event_type is SettingsAcknowledged:
                streams.client_knows_limit = True
            elif event_type is RemoteSettingsChanged:
                self._state.forget_unknown_settings()
                streams.on_windows()
            elif event_type is PingAckReceived:
                pong_payloads.append(event.ping_data)
        for stream_id, value in self._reader.priorities:
            streams.on_priority(stream_id, value)
        streams.start_pending()
        # After all requests that arrived with them.
        for pong in pong_payloads:
            self._on_pong(pong)

    # Closing.

    def _on_idle(self) -> None:
        """Await the next request: the last open stream has ended."""
        self._has_streams = False
        self._set_deadline(self._context.deadlines.idle)
        if self._is_ending():
            # Not at once: the end of the last stream is being sent.
            self._context.loop.call_soon(self._end_if_idle)

    def _is_ending(self) -> bool:
        return self.phase == FINISHING or (self._reader.goaway_received and self.phase in (OPEN, DRAINING))

    def _end_if_idle(self) -> None:
        if not self._streams and self._is_ending():
            self._linger()

    def _fail(self, fault: H2ConnectionError) -> None:
        """End the connection for an error of the client's (section 5.4.1)."""
        code, reason = fault.code, fault.reason
        logger.warning("Ended an HTTP/2 connection from %s: %s, %s", self.peer.label, code.name, reason)
        self._send_goaway(self._state.highest_inbound_stream_id, code, reason.encode())
        self._streams.disconnect_all()
        self._linger()

    def _send_goaway(self, last_stream_id: int, code: ErrorCodes = ErrorCodes.NO_ERROR, reason: bytes = b"") -> None:
        """Send GOAWAY (section 6.8); the library would take it for the end of all open streams."""
        self._scheduler.flush()
        frame = GoAwayFrame(0, last_stream_id=last_stream_id, error_code=code, additional_data=reason)
        self._output.write([frame.serialize()], 0)

    def _start_draining(self) -> None:
        """Tell the client to open no further stream. The ping's answer tells when no other is under way."""
        self.phase = DRAINING
        self._streams.end_unneeded_bodies()
        self._send_goaway(LAST_STREAM_ID)
        self._send_ping()
        deadlines = self._context.deadlines
        self._set_deadline(deadlines.idle if deadlines.is_draining else deadlines.linger)

    def _finish(self) -> None:
        """Refuse further streams; the connection ends with the last open one."""
        self.phase = FINISHING
        self._streams.accepts_streams = False
        self._send_goaway(self._state.highest_inbound_stream_id)
        self._set_deadline(self._context.deadlines.write_stall)
        self._end_if_idle()

    def _linger(self) -> None:
        """End the connection, and read and drop what the client still sends.

        Closing a socket with unread bytes would reset the connection, and the client could lose what was sent last.
        """
        self._scheduler.flush()
        self._output.flush()
        self.phase = LINGERING
        self._reader.clear()
        self.flow.watch_progress()
        self._head_deadline = self._bodies_deadline = inf
        self._set_deadline(self._context.deadlines.linger)
        self.flow.resume_reading()
        if not self._transport.can_write_eof():
            self._output.close()
        elif not self._transport.is_closing():
            self._output.write_eof()

    def _send_ping(self) -> None:
        self._ping = os.urandom(PING_BYTES)
        self._state.ping(self._ping)
        self._scheduler.flush()

    def _on_pong(self, data: bytes) -> None:
        if data == self._ping:
            self._ping = b""
            if self.phase == DRAINING:
                self._finish()

    # Called by the sweep of deadlines and by the shutdown.

    def _set_deadline(self, deadline: float) -> None:
        self._phase_deadline = deadline
        self.deadline = min(deadline, self._head_deadline, self._bodies_deadline)

    def on_deadline(self) -> None:
        """Act on a client that took too long to send a request or its body, to read, or to answer a ping."""
        deadlines = self._context.deadlines
        if self.phase == LINGERING:
            if self.flow.has_progressed():
                self._set_deadline(deadlines.linger)
            else:
                self._transport.abort()
        elif self._head_deadline <= deadlines.now:
            self._fail(H2ConnectionError(ErrorCodes.ENHANCE_YOUR_CALM, "the head of a request took too long"))
        elif self._bodies_deadline <= deadlines.now:
            self._check_bodies()
        elif self.phase == DRAINING:
            self._finish()
        elif not self._streams:
            self._start_draining()
        else:
            self._check_client()

    def _check_bodies(self) -> None:
        """Refuse bodies that have stopped arriving, unless their next part may wait unread while reading is paused."""
        if not self._is_paused:
            self._bodies_deadline = self._streams.refuse_late_bodies() if self._streams else inf
            self._scheduler.flush()
        self._set_deadline(self._phase_deadline)

    def _check_client(self) -> None:
        """Check, about once a minute while streams are open, that the client still reads and answers."""
        has_received, self._has_received = self._has_received, False
        if self.flow.write_paused:
            has_received = self.flow.has_progressed()
        elif not has_received and not self._ping:
            self._send_ping()
            has_received = True
        if not has_received:
            logger.info("Ended an HTTP/2 connection from %s, which has gone silent", self.peer.label)
            self._transport.abort()
            return
        self._streams.reset_stalled()
        self._scheduler.flush()
        if self._streams:
            self._set_deadline(self._context.deadlines.write_stall)

    def release(self) -> bool:
        """Return False: streams and compression tables cannot leave the loop."""
        return False

    def begin_shutdown(self) -> None:
        """Begin to drain: the server stops, and open streams are still served."""
        if self.phase == OPEN:
            self._start_draining()
        elif self.phase == LINGERING:
            self._set_deadline(min(self._phase_deadline, self._context.deadlines.linger))

    def abort(self) -> None:
        """Close the connection at once, with unwritten bytes, and end the exchanges in flight."""
        self.phase = CLOSED
        # Responses that are only held are complete, and in the access log.
        self._scheduler.flush()
        self._output.flush()
        self._streams.disconnect_all()
        self._transport.abort()
