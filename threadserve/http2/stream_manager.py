"""The streams of one HTTP/2 connection: their creation, the frames for them, and their end.

Belongs to the connection, on the loop's thread. It owns the open streams. It does not write to the transport.
"""

import asyncio
import logging
from collections.abc import Callable

from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamReset, TrailersReceived

from threadserve.http.context import LoopContext
from threadserve.http.errors import HTTPError, body_too_late
from threadserve.http.exchange import Exchange
from threadserve.http.head import RequestHead
from threadserve.http.peer import Peer
from threadserve.http.registry import AppCall
from threadserve.http.stream import UpgradedProtocol
from threadserve.http2.budgets import Budget
from threadserve.http2.context import HTTP2Context
from threadserve.http2.errors import MalformedRequest
from threadserve.http2.field_blocks import FieldBlock
from threadserve.http2.priorities import UNSPECIFIED, Priority, parse_priority
from threadserve.http2.requests import ANY_BODY, check_trailers
from threadserve.http2.scheduler import SendScheduler
from threadserve.http2.state_machine import H2StateMachine
from threadserve.http2.stream import H2Stream, StreamOwner
from threadserve.http2.tunnel import StreamTransport
from threadserve.proxies.forwarded import read_forwarded
from threadserve.types import Field, Headers

logger = logging.getLogger("threadserve.error")

TEXT_PLAIN_FIELD = (b"content-type", b"text/plain; charset=utf-8")


class StreamManager(StreamOwner):
    """The streams of a connection; `open` are the open ones, by their identifiers.

    `accepts_streams` says whether another may be opened, and `client_knows_limit` whether the client has acknowledged
    how many may be. While frames are read (`is_reading`), output is held until the last of them. `on_idle` is called
    when no stream is left. `peer` is the connection's.
    """

    __slots__ = (
        "_context",
        "_control_budget",
        "_http2",
        "_pending_start",
        "_reset_budget",
        "_running_calls",
        "_scheduler",
        "_state",
        "accepts_streams",
        "client_knows_limit",
        "is_reading",
        "on_idle",
        "open",
        "peer",
        "transport",
    )

    peer: Peer
    transport: asyncio.Transport

    def __init__(
        self,
        context: LoopContext,
        http2: HTTP2Context,
        state: H2StateMachine,
        scheduler: SendScheduler,
        reset_budget: Budget,
        control_budget: Budget,
        on_idle: Callable[[], None],
    ) -> None:
        self.loop = context.loop
        self.formatter = http2.formatter
        self.buffer_bytes = context.bounds.stream_buffer_bytes
        self._context = context
        self._http2 = http2
        self._state = state
        self._scheduler = scheduler
        self._reset_budget = reset_budget
        self._control_budget = control_budget
        self.open: dict[int, H2Stream] = {}
        # Applications that still run though their streams were reset.
        self._running_calls: list[AppCall] = []
        # A stream whose application is called after the frames of its body that came with the head.
        self._pending_start: H2Stream | None = None
        self.is_reading = False
        self.accepts_streams = True
        self.client_knows_limit = False
        self.on_idle = on_idle

    def __len__(self) -> int:
        """The number of open streams."""
        return len(self.open)

    # Events of frames.

    def on_request(self, event: RequestReceived) -> None:
        """Start, or refuse, a request."""
        self.start_pending()
        stream_id, has_body = event.stream_id, event.stream_ended is None
        if not self.accepts_streams or not self._can_open_stream():
            self._refuse_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        block: FieldBlock = event.headers[0][1]  # type: ignore[assignment]
        try:
            self._start_exchange(stream_id, self._http2.read_head(block, has_body), has_body)
        except MalformedRequest as error:
            logger.warning("Refused an HTTP request from %s: %s", self.peer.label, error)
            self._refuse_stream(stream_id, ErrorCodes.PROTOCOL_ERROR)
        except HTTPError as error:
            is_head = (b":method", b"HEAD") in block.fields
            self._answer_refused(
                H2Stream(self, stream_id, self.peer, ANY_BODY, UNSPECIFIED, is_head=is_head), has_body, error
            )

    def _can_open_stream(self) -> bool:
        """Return whether another stream may be opened: a reset one counts until its application has ended."""
        limit = self._context.bounds.max_streams
        if len(self.open) + len(self._running_calls) < limit:
            return True
        calls = self._context.registry.calls
        self._running_calls = [call for call in self._running_calls if call in calls]
        return len(self.open) + len(self._running_calls) < limit

    def _start_exchange(self, stream_id: int, head: RequestHead, has_body: bool) -> None:
        """Start the exchange of a request. Raises `HTTPError` if it is refused."""
        context, peer = self._context, self.peer
        scope = context.scopes.build(head, peer)
        if peer.is_trusted and head.control_fields:
            forwarded = read_forwarded(head.control_fields, context.trusted_proxies, context.forwarded_fields)
            if forwarded is not None:
                forwarded.apply(scope)
        context.check_body_length(head.framing.content_length)
        if not context.registry.admit():
            raise HTTPError(503, "Service Unavailable: too many requests in flight")
        priority = request_priority(head.headers)
        stream = H2Stream(self, stream_id, peer, head.framing, priority, is_head=head.method == "HEAD")
        stream.request_has_ended = not has_body
        stream.exchange = exchange = Exchange(stream, context, head, scope)
        if head.framing.wants_websocket:
            self._start_websocket(stream, exchange)
            return
        self.open[stream_id] = stream
        stream.body_deadline = context.deadlines.body
        if has_body:
            self._pending_start = stream
        else:
            context.call_app(exchange)

    def _start_websocket(self, stream: H2Stream, exchange: Exchange) -> None:
        context = self._context
        try:
            if context.begin_websocket is None:
                raise HTTPError(501, "no WebSocket is served here")
            self.open[stream.id] = stream
            context.begin_websocket(exchange)
        except HTTPError:
            self.open.pop(stream.id, None)
            stream.exchange = None
            context.registry.withdraw()
            raise

    def start_pending(self) -> None:
        """Call the application of the request whose first frames have been read."""
        stream, self._pending_start = self._pending_start, None
        if stream is not None:
            self._context.call_app(stream.exchange)

    def _refuse_stream(self, stream_id: int, code: ErrorCodes) -> None:
        """Reset a stream that no application has seen."""
        # A client that does not know the limit yet is given more time to learn it.
        is_innocent = code == ErrorCodes.REFUSED_STREAM and not self.client_knows_limit
        (self._control_budget if is_innocent else self._reset_budget).spend()
        self._state.reset_stream(stream_id, code)

    def _answer_refused(self, stream: H2Stream, has_body: bool, error: HTTPError) -> None:
        """Answer a request that no application sees."""
        self._log_refusal(error)
        stream.request_has_ended = not has_body
        self.open[stream.id] = stream
        self._send_refusal(stream, error)

    def _refuse_body(self, stream: H2Stream, error: HTTPError) -> None:
        """End a request whose body is refused; answer it with the error, if no response has started."""
        self._log_refusal(error)
        exchange = self._detach_exchange(stream)
        if exchange is None or not exchange.can_still_answer():
            self._reset(stream, ErrorCodes.CANCEL)
            self._remove(stream)
            self.flush_soon()
        else:
            # The client may send no more than its window.
            stream.pause_reading()
            self._send_refusal(stream, error)
        if exchange is not None:
            exchange.reject(error.status)

    def _log_refusal(self, error: HTTPError) -> None:
        logger.warning("Refused an HTTP request from %s: %d, %s", self.peer.label, error.status, error.reason)
        if self._context.metrics is not None:
            self._context.metrics.on_refusal(error.status)

    def _send_refusal(self, stream: H2Stream, error: HTTPError) -> None:
        stream.prepare_response(error.status, [TEXT_PLAIN_FIELD, *error.fields])
        stream.start_response(f"{error.reason}\n".encode("latin-1", "backslashreplace"), more=False)
        stream.end_response()

    def on_data(self, event: DataReceived) -> None:
        """Take a part of a body, or of a tunnel's bytes."""
        stream = self.open.get(event.stream_id)
        size = event.flow_controlled_length
        if stream is None:
            # The stream is closed; its share of the connection's window is given back.
            self._state.acknowledge_received_data(size, event.stream_id)
            return
        ends = stream.request_has_ended = event.stream_ended is not None
        try:
            stream.check_length(len(event.data), ends)
        except MalformedRequest as error:
            self._reset_malformed(stream, size, error)
            return
        try:
            is_wanted = stream.on_data(event.data, size, ends)
        except HTTPError as error:
            self._state.acknowledge_received_data(size, stream.id)
            self._refuse_body(stream, error)
            return
        if not is_wanted:
            self._end_unneeded_body(stream)
        if self._pending_start is stream:
            self.start_pending()
        if ends:
            self.on_side_ended(stream)

    def _reset_malformed(self, stream: H2Stream, size: int, error: MalformedRequest) -> None:
        logger.warning("Refused an HTTP request from %s: %s", self.peer.label, error)
        self._reset_budget.spend()
        self._state.acknowledge_received_data(size, stream.id)
        self.reset(stream, ErrorCodes.PROTOCOL_ERROR)

    def on_trailers(self, event: TrailersReceived) -> None:
        """End a body with trailers, which are dropped."""
        stream = self.open.get(event.stream_id)
        if stream is None:
            return
        block: FieldBlock = event.headers[0][1]  # type: ignore[assignment]
        stream.request_has_ended = True
        try:
            check_trailers(block.fields)
            stream.check_length(0, True)
        except MalformedRequest as error:
            self._reset_malformed(stream, 0, error)
            return
        stream.on_data(b"", 0, True)
        self.on_side_ended(stream)

    def on_reset(self, event: StreamReset) -> None:
        """End a stream that was reset: by the client, or by the library for an error of the client's."""
        stream = self.open.get(event.stream_id)
        if not event.remote_reset:
            self._reset_budget.spend()
        if stream is not None:
            self._notify_gone(stream, self._remove_unfinished(stream))

    def on_window(self, stream_id: int) -> None:
        """Schedule a stream whose window was increased."""
        stream = self.open.get(stream_id)
        if stream is not None and stream.awaits_window:
            stream.awaits_window = False
            self._scheduler.enqueue(stream)

    def on_windows(self) -> None:
        """Schedule the streams whose window was changed by a setting."""
        for stream_id in self.open:
            self.on_window(stream_id)

    def on_priority(self, stream_id: int, value: bytes) -> None:
        """Change an open stream's priority (RFC 9218 section 7.1)."""
        stream = self.open.get(stream_id)
        if stream is not None:
            self._scheduler.change_priority(stream, parse_priority(value))

    # Called by streams: see `StreamOwner`.

    def send_block(self, stream: H2Stream, fields: list[Field], *, is_informational: bool, ends: bool) -> None:
        """Send a header block (see `StreamOwner`)."""
        if is_informational:
            # It may be the 100 (Continue) that the client waits for.
            stream.body_deadline = self._context.deadlines.body
        self._state.send_block(stream.id, fields, is_informational=is_informational, ends=ends)

    def on_data_queued(self, stream: H2Stream) -> None:
        """Send queued data, unless the stream waits for window (see `StreamOwner`)."""
        if not stream.awaits_window:
            self._scheduler.send_or_enqueue(stream)
            if not self.is_reading:
                self._scheduler.send()

    def flush_soon(self) -> None:
        """Flush, unless frames are being read (see `StreamOwner`)."""
        if not self.is_reading:
            self._scheduler.flush()

    def acknowledge(self, stream: H2Stream, size: int) -> None:
        """Give window back (see `StreamOwner`)."""
        stream.body_deadline = self._context.deadlines.body
        self._state.acknowledge_received_data(size, stream.id)
        self.flush_soon()

    def reset(self, stream: H2Stream, code: ErrorCodes) -> None:
        """Reset a stream, and notify its exchange (see `StreamOwner`)."""
        if stream.is_closed:
            return
        self._reset(stream, code)
        exchange = self._remove_unfinished(stream)
        self.flush_soon()
        # Not at once: an application's call may have led here.
        self.loop.call_soon(self._notify_gone, stream, exchange)

    def on_side_ended(self, stream: H2Stream) -> None:
        """End a stream whose sides have both ended (see `StreamOwner`)."""
        if stream.is_closed or not stream.response_end_sent:
            return
        if stream.tunnel is not None:
            if stream.request_has_ended:
                self._remove(stream)
                stream.tunnel.connection_lost()
        elif stream.exchange_is_complete:
            if stream.request_has_ended:
                self._remove(stream)
            elif stream.exchange is not None and stream.exchange.body is not None:
                stream.exchange.discard_body()
            else:
                self._end_unneeded_body(stream)

    def _end_unneeded_body(self, stream: H2Stream) -> None:
        """Stop receiving a body whose response has been sent (RFC 9113 section 8.1)."""
        self._reset(stream, ErrorCodes.NO_ERROR)
        self._remove(stream)
        self.flush_soon()

    def _reset(self, stream: H2Stream, code: ErrorCodes) -> None:
        """Reset a stream, unless both sides have ended it."""
        if not (stream.response_end_sent and stream.request_has_ended):
            self._state.reset_stream(stream.id, code)

    def open_tunnel(self, stream: H2Stream, protocol: UpgradedProtocol) -> None:
        """Connect a stream to another protocol (see `StreamOwner`)."""
        stream.tunnel = transport = StreamTransport(stream, self, protocol, self.transport)
        stream.flow.transport = transport
        protocol.take_over(transport, stream.flow)
        if stream.request_has_ended:
            self.loop.call_soon(transport.eof_received)

    # The end of streams.

    def _remove(self, stream: H2Stream) -> None:
        """Remove a stream that has ended."""
        del self.open[stream.id]
        self._scheduler.dequeue(stream)
        stream.close()
        # Break the reference cycle.
        stream.exchange = None
        uncredited = stream.take_unacknowledged()
        if uncredited:
            self._state.acknowledge_received_data(uncredited, stream.id)
        if not self.open:
            self.on_idle()

    def _remove_unfinished(self, stream: H2Stream) -> Exchange | None:
        """Remove a stream before its response was complete; return the exchange, which has to be notified."""
        exchange = self._detach_exchange(stream)
        self._remove(stream)
        return exchange

    def _detach_exchange(self, stream: H2Stream) -> Exchange | None:
        """Detach and return a stream's exchange; its application may go on without a client."""
        exchange, stream.exchange = stream.exchange, None
        calls = self._context.registry.calls
        if stream is self._pending_start:
            # No application will end it.
            self._pending_start = None
            self._context.registry.withdraw()
        if exchange is not None:
            self._running_calls += [call for call in (exchange, exchange.listener) if call in calls]
        return exchange

    def _notify_gone(self, stream: H2Stream, exchange: Exchange | None) -> None:
        """Notify the tunnel or the exchange of a removed stream."""
        if stream.tunnel is not None:
            stream.tunnel.connection_lost()
        elif exchange is not None:
            exchange.on_stream_closed()

    def disconnect_all(self) -> None:
        """End all streams: the connection is closed."""
        for stream in list(self.open.values()):
            self._notify_gone(stream, self._remove_unfinished(stream))
        self._running_calls = []

    def reset_stalled(self) -> None:
        """Reset the streams without progress since the last call: nothing was read by the client, or nothing sent."""
        for stream in list(self.open.values()):
            if stream.is_progressing or not (stream.queued or stream.exchange_is_complete):
                stream.is_progressing = False
            elif stream.response_end_sent:
                self._end_unneeded_body(stream)
            else:
                self.reset(stream, ErrorCodes.CANCEL)

    def refuse_late_bodies(self) -> float:
        """Refuse requests whose bodies have stopped arriving; return the time of the next check."""
        deadlines = self._context.deadlines
        if self._state.inbound_flow_control_window < 1:
            # Unread data of other streams fills the connection's window, so no client can send.
            self.extend_body_deadlines(self._context.bounds.tick_seconds)
        again_at = deadlines.body
        for stream in list(self.open.values()):
            if stream.exchange is not None and stream.exchange.is_awaiting_body():
                if stream.body_deadline <= deadlines.now:
                    self._refuse_body(stream, body_too_late())
                else:
                    again_at = min(again_at, stream.body_deadline)
        return again_at

    def extend_body_deadlines(self, seconds: float) -> None:
        """Give clients more time for the next part of their bodies."""
        for stream in self.open.values():
            stream.body_deadline += seconds

    def end_unneeded_bodies(self) -> None:
        """Stop waiting for bodies of requests that are answered."""
        for stream in list(self.open.values()):
            if stream.exchange_is_complete and stream.response_end_sent and stream.tunnel is None:
                self._end_unneeded_body(stream)


def request_priority(headers: Headers) -> Priority:
    """Return the priority of a request, by its header."""
    for name, value in headers:
        if name == b"priority":
            return parse_priority(value)
    return UNSPECIFIED
