"""The streams of one HTTP/2 connection: what frames mean for them, and what they ask of it.

Belongs to the connection, on the loop's thread. It owns the streams that are open; it knows of no transport.
"""

import logging
from collections.abc import Callable
from typing import Any

from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamReset, TrailersReceived

from threadserve.http.context import LoopContext
from threadserve.http.errors import HTTPError, body_too_late
from threadserve.http.exchange import Exchange
from threadserve.http.head import RequestHead
from threadserve.http.peer import Peer
from threadserve.http2.budgets import Budget
from threadserve.http2.errors import MalformedRequest
from threadserve.http2.field_blocks import FieldBlock
from threadserve.http2.priorities import UNSAID, Priority, read_priority
from threadserve.http2.protocol import HTTP2
from threadserve.http2.requests import ANY_BODY, check_trailers
from threadserve.http2.sending import Sender
from threadserve.http2.state import H2State
from threadserve.http2.stream import H2Stream, StreamOwner
from threadserve.http2.tunnel import StreamTransport
from threadserve.proxies.forwarded import read_forwarded
from threadserve.types import Field, Headers

logger = logging.getLogger("threadserve.error")

TEXT = (b"content-type", b"text/plain; charset=utf-8")


class Streams(StreamOwner):
    """The streams of a connection: those that are `open`, by their numbers.

    `peer` is the connection's, `takes_requests` says whether another may be opened, and `limit_is_known` whether the
    client knows how many. While frames are taken up, which `is_advancing` says, what is to be sent waits for the last
    of them. `on_idle` is called when no stream is left.
    """

    __slots__ = (
        "_context",
        "_control",
        "_http2",
        "_resets",
        "_sender",
        "_state",
        "_unended",
        "_unstarted",
        "is_advancing",
        "limit_is_known",
        "on_idle",
        "open",
        "peer",
        "takes_requests",
        "transport",
    )

    peer: Peer
    transport: Any

    def __init__(
        self,
        context: LoopContext,
        http2: HTTP2,
        state: H2State,
        sender: Sender,
        resets: Budget,
        control: Budget,
        on_idle: Callable[[], None],
    ) -> None:
        self.loop = context.loop
        self.maker = http2.maker
        self.buffer_bytes = context.bounds.stream_buffer_bytes
        self._context = context
        self._http2 = http2
        self._state = state
        self._sender = sender
        self._resets = resets
        self._control = control
        self.open: dict[int, H2Stream] = {}
        # Applications that go on though their streams were reset.
        self._unended: list[Any] = []
        # An application that is called when as much of the request's body is there as has come with the head.
        self._unstarted: H2Stream | None = None
        self.is_advancing = False
        self.takes_requests = True
        self.limit_is_known = False
        self.on_idle = on_idle

    def __len__(self) -> int:
        """How many are open."""
        return len(self.open)

    # What frames mean.

    def on_request(self, event: RequestReceived) -> None:
        """A client asks for something."""
        self.start_unstarted()
        stream_id, has_body = event.stream_id, event.stream_ended is None
        if not self.takes_requests or not self._has_room():
            self._refuse_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        block: FieldBlock = event.headers[0][1]  # type: ignore[assignment]
        try:
            self._begin(stream_id, self._http2.read_head(block, has_body), has_body)
        except MalformedRequest as error:
            logger.warning("Refused an HTTP request from %s: %s", self.peer.label, error)
            self._refuse_stream(stream_id, ErrorCodes.PROTOCOL_ERROR)
        except HTTPError as error:
            is_head = (b":method", b"HEAD") in block.fields
            self._answer(H2Stream(self, stream_id, self.peer, ANY_BODY, UNSAID, is_head=is_head), has_body, error)

    def _has_room(self) -> bool:
        """Whether another stream may be served: one that was reset counts until its application has ended."""
        limit = self._context.bounds.max_streams
        if len(self.open) + len(self._unended) < limit:
            return True
        calls = self._context.registry.calls
        self._unended = [call for call in self._unended if call in calls]
        return len(self.open) + len(self._unended) < limit

    def _begin(self, stream_id: int, head: RequestHead, has_body: bool) -> None:
        """Begins the exchange of a request."""
        context, peer = self._context, self.peer
        scope = context.scopes.build(head, peer)
        if peer.is_trusted and head.control_fields:
            forwarded = read_forwarded(head.control_fields, context.trusted_proxies, context.believed_fields)
            if forwarded is not None:
                forwarded.apply(scope)
        context.check_body_length(head.framing.content_length)
        if not context.registry.admit():
            raise HTTPError(503, "Service Unavailable: too many requests in flight")
        priority = priority_of(head.headers)
        stream = H2Stream(self, stream_id, peer, head.framing, priority, is_head=head.method == "HEAD")
        stream.request_has_ended = not has_body
        stream.exchange = exchange = Exchange(stream, context, head, scope)
        if head.framing.wants_websocket:
            self._begin_websocket(stream, exchange)
            return
        self.open[stream_id] = stream
        stream.body_due = context.deadlines.body
        if has_body:
            self._unstarted = stream
        else:
            context.call_app(exchange)

    def _begin_websocket(self, stream: H2Stream, exchange: Exchange) -> None:
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

    def start_unstarted(self) -> None:
        """Has the application called that waited for what came with its request's head."""
        stream, self._unstarted = self._unstarted, None
        if stream is not None:
            self._context.call_app(stream.exchange)

    def _refuse_stream(self, stream_id: int, code: ErrorCodes) -> None:
        """Resets a stream that no application has seen."""
        # Who does not know yet how many there may be is given more time to learn it.
        is_innocent = code == ErrorCodes.REFUSED_STREAM and not self.limit_is_known
        (self._control if is_innocent else self._resets).spend()
        self._state.reset_stream(stream_id, code)

    def _answer(self, stream: H2Stream, has_body: bool, error: HTTPError) -> None:
        """Answers a request that no application sees."""
        self._tell_refused(error)
        stream.request_has_ended = not has_body
        self.open[stream.id] = stream
        self._send_refusal(stream, error)

    def _refuse_body(self, stream: H2Stream, error: HTTPError) -> None:
        """Serves a request no further whose body is at fault; its answer, where none has begun, is this."""
        self._tell_refused(error)
        exchange = self._part(stream)
        if exchange is None or not exchange.can_still_answer():
            self._reset(stream, ErrorCodes.CANCEL)
            self._forget(stream)
            self.leave()
        else:
            # Of what still comes, no more than its window.
            stream.pause_reading()
            self._send_refusal(stream, error)
        if exchange is not None:
            exchange.refuse(error.status)

    def _tell_refused(self, error: HTTPError) -> None:
        logger.warning("Refused an HTTP request from %s: %d, %s", self.peer.label, error.status, error.reason)
        if self._context.metrics is not None:
            self._context.metrics.on_refusal(error.status)

    def _send_refusal(self, stream: H2Stream, error: HTTPError) -> None:
        stream.prepare_response(error.status, [TEXT, *error.fields])
        stream.start_response(f"{error.reason}\n".encode("latin-1", "backslashreplace"), more=False)
        stream.end_response()

    def on_data(self, event: DataReceived) -> None:
        """A part of a body has come, or of what is in a tunnel."""
        stream = self.open.get(event.stream_id)
        size = event.flow_controlled_length
        if stream is None:
            # The stream is over here; others may have its share of the window.
            self._state.acknowledge_received_data(size, event.stream_id)
            return
        ends = stream.request_has_ended = event.stream_ended is not None
        try:
            stream.count(len(event.data), ends)
        except MalformedRequest as error:
            self._end_malformed(stream, size, error)
            return
        try:
            is_wanted = stream.on_data(event.data, size, ends)
        except HTTPError as error:
            self._state.acknowledge_received_data(size, stream.id)
            self._refuse_body(stream, error)
            return
        if not is_wanted:
            self._end_answered(stream)
        if self._unstarted is stream:
            self.start_unstarted()
        if ends:
            self.on_progress(stream)

    def _end_malformed(self, stream: H2Stream, size: int, error: MalformedRequest) -> None:
        logger.warning("Refused an HTTP request from %s: %s", self.peer.label, error)
        self._resets.spend()
        self._state.acknowledge_received_data(size, stream.id)
        self.reset(stream, ErrorCodes.PROTOCOL_ERROR)

    def on_trailers(self, event: TrailersReceived) -> None:
        """A body has ended, in trailers that nobody asks for."""
        stream = self.open.get(event.stream_id)
        if stream is None:
            return
        block: FieldBlock = event.headers[0][1]  # type: ignore[assignment]
        stream.request_has_ended = True
        try:
            check_trailers(block.fields)
            stream.count(0, True)
        except MalformedRequest as error:
            self._end_malformed(stream, 0, error)
            return
        stream.on_data(b"", 0, True)
        self.on_progress(stream)

    def on_reset(self, event: StreamReset) -> None:
        """A stream was reset: by the client, or by the library for a fault of the client's."""
        stream = self.open.get(event.stream_id)
        if not event.remote_reset:
            self._resets.spend()
        if stream is not None:
            self._tell(stream, self._drop(stream))

    def on_window(self, stream_id: int) -> None:
        """The client takes more of a stream."""
        stream = self.open.get(stream_id)
        if stream is not None and stream.awaits_window:
            stream.awaits_window = False
            self._sender.add(stream)

    def on_windows(self) -> None:
        """The client takes more, or less, of every stream."""
        for stream_id in self.open:
            self.on_window(stream_id)

    def on_priority(self, stream_id: int, value: bytes) -> None:
        """The client has another priority for a stream (RFC 9218 section 7.1); for one that is not open, it is lost."""
        stream = self.open.get(stream_id)
        if stream is not None:
            self._sender.change_priority(stream, read_priority(value))

    # What streams ask for: see `StreamOwner`.

    def send_block(self, stream: H2Stream, fields: list[Field], *, is_informational: bool, ends: bool) -> None:
        """See `StreamOwner`."""
        if is_informational:
            # It may be the 100 that the client has waited for.
            stream.body_due = self._context.deadlines.body
        self._state.send_block(stream.id, fields, is_informational=is_informational, ends=ends)

    def on_queued(self, stream: H2Stream) -> None:
        """See `StreamOwner`."""
        if not stream.awaits_window:
            self._sender.offer(stream)
            if not self.is_advancing:
                self._sender.send()

    def leave(self) -> None:
        """See `StreamOwner`."""
        if not self.is_advancing:
            self._sender.flush()

    def credit(self, stream: H2Stream, size: int) -> None:
        """See `StreamOwner`."""
        stream.body_due = self._context.deadlines.body
        self._state.acknowledge_received_data(size, stream.id)
        self.leave()

    def reset(self, stream: H2Stream, code: ErrorCodes) -> None:
        """See `StreamOwner`."""
        if stream.is_closed:
            return
        self._reset(stream, code)
        exchange = self._drop(stream)
        self.leave()
        # Not at once: the application may be within a call that has led here.
        self.loop.call_soon(self._tell, stream, exchange)

    def on_progress(self, stream: H2Stream) -> None:
        """See `StreamOwner`."""
        if stream.is_closed or not stream.end_is_sent:
            return
        if stream.tunnel is not None:
            if stream.request_has_ended:
                self._forget(stream)
                stream.tunnel.connection_lost()
        elif stream.is_answered:
            if stream.request_has_ended:
                self._forget(stream)
            elif stream.exchange is not None and stream.exchange.body is not None:
                stream.exchange.discard_body()
            else:
                self._end_answered(stream)

    def _end_answered(self, stream: H2Stream) -> None:
        """Wants no more of a body whose answer is sent (RFC 9113 section 8.1)."""
        self._reset(stream, ErrorCodes.NO_ERROR)
        self._forget(stream)
        self.leave()

    def _reset(self, stream: H2Stream, code: ErrorCodes) -> None:
        """Resets a stream, unless both sides have ended it."""
        if not (stream.end_is_sent and stream.request_has_ended):
            self._state.reset_stream(stream.id, code)

    def open_tunnel(self, stream: H2Stream, protocol: Any) -> None:
        """See `StreamOwner`."""
        stream.tunnel = transport = StreamTransport(stream, self, protocol, self.transport)
        stream.flow.transport = transport
        protocol.take_over(transport, stream.flow)
        if stream.request_has_ended:
            self.loop.call_soon(transport.eof_received)

    # Their end.

    def _forget(self, stream: H2Stream) -> None:
        """A stream is over."""
        del self.open[stream.id]
        self._sender.discard(stream)
        stream.close()
        # They refer to one another.
        stream.exchange = None
        uncredited = stream.take_uncredited()
        if uncredited:
            self._state.acknowledge_received_data(uncredited, stream.id)
        if not self.open:
            self.on_idle()

    def _drop(self, stream: H2Stream) -> Exchange | None:
        """The same, before its response was complete; returns the exchange that is to be told."""
        exchange = self._part(stream)
        self._forget(stream)
        return exchange

    def _part(self, stream: H2Stream) -> Exchange | None:
        """Parts a stream from its exchange, which may go on for nobody; returns that."""
        exchange, stream.exchange = stream.exchange, None
        calls = self._context.registry.calls
        if stream is self._unstarted:
            # No application will end it.
            self._unstarted = None
            self._context.registry.withdraw()
        if exchange is not None:
            self._unended += [call for call in (exchange, exchange.listener) if call in calls]
        return exchange

    def _tell(self, stream: H2Stream, exchange: Exchange | None) -> None:
        """Tells of a stream that was dropped."""
        if stream.tunnel is not None:
            stream.tunnel.connection_lost()
        elif exchange is not None:
            exchange.on_stream_closed()

    def end_all(self) -> None:
        """The connection is gone for all of them."""
        for stream in list(self.open.values()):
            self._tell(stream, self._drop(stream))
        self._unended = []

    def end_stalled(self) -> None:
        """Resets the streams whose clients have taken nothing, or sent nothing, since this was called last."""
        for stream in list(self.open.values()):
            if stream.has_moved or not (stream.queued or stream.is_answered):
                stream.has_moved = False
            elif stream.end_is_sent:
                self._end_answered(stream)
            else:
                self.reset(stream, ErrorCodes.CANCEL)

    def refuse_late_bodies(self) -> float:
        """Refuses the requests whose bodies have stopped coming; returns when that is to be looked at again."""
        deadlines = self._context.deadlines
        if self._state.inbound_flow_control_window < 1:
            # What other streams have not read is in the way: no client can send.
            self.put_off_bodies(self._context.bounds.tick_seconds)
        again_at = deadlines.body
        for stream in list(self.open.values()):
            if stream.exchange is not None and stream.exchange.is_awaiting_body():
                if stream.body_due <= deadlines.now:
                    self._refuse_body(stream, body_too_late())
                else:
                    again_at = min(again_at, stream.body_due)
        return again_at

    def put_off_bodies(self, seconds: float) -> None:
        """Gives clients so much more time for the next of their bodies."""
        for stream in self.open.values():
            stream.body_due += seconds

    def end_answered(self) -> None:
        """Waits no longer for bodies of requests that are answered."""
        for stream in list(self.open.values()):
            if stream.is_answered and stream.end_is_sent and stream.tunnel is None:
                self._end_answered(stream)


def priority_of(headers: Headers) -> Priority:
    """What a request says of its priority."""
    for name, value in headers:
        if name == b"priority":
            return read_priority(value)
    return UNSAID
