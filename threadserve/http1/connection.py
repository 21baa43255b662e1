"""A client's HTTP/1.1 connection: bytes in, exchanges one after the other, bytes out.

Belongs to the loop thread that accepted it. It owns the transport, a reader, a writer and the exchange in flight; bytes
of later requests wait in the reader until their turn. It never looks into an application's messages.
"""

import asyncio
import logging
from collections.abc import Iterable
from math import inf
from typing import BinaryIO

from threadserve.http.context import BeginWebSocket, LoopContext
from threadserve.http.errors import HTTPError, bad_request, body_too_late
from threadserve.http.exchange import Exchange
from threadserve.http.files import send_file
from threadserve.http.flow import FlowControl
from threadserve.http.head import RequestHead, ResponseHead
from threadserve.http.peer import ConnectionProtocol, has_hung_up, make_peer
from threadserve.http.states import BODY_EXPECTED, DISCARDING
from threadserve.http.stream import Stream
from threadserve.http.write_buffer import WriteBuffer
from threadserve.http1.codecs import H1Codecs
from threadserve.http1.reader import RequestReader
from threadserve.http1.states import (
    AWAIT_RESPONSE,
    CLOSED,
    FLUSHING,
    LINGERING,
    OPEN,
    READ_BODY,
    READ_HEAD,
    RELEASED,
    UPGRADED,
)
from threadserve.http1.targets import to_origin_form
from threadserve.http1.writer import ResponseWriter, parse_fields
from threadserve.proxies.forwarded import Forwarded, read_forwarded
from threadserve.proxies.protocol import ProxiedAddresses
from threadserve.tls.certificates import LoopTls
from threadserve.types import Field, Headers

logger = logging.getLogger("threadserve.error")

SLASH = b"/"[0]


class H1Connection(Stream):
    """One connection, and the stream of each of its exchanges. The event loop calls it, and its exchange calls back.

    `states` has the states of its reading and of its closing.
    """

    __slots__ = (
        "_at_eof",
        "_buffer",
        "_codecs",
        "_context",
        "_control_fields",
        "_exchange",
        "_forwarded",
        "_is_advancing",
        "_is_handshake",
        "_is_head_timed",
        "_keeps_sent_head",
        "_proxied_addresses",
        "_reader",
        "_sent_head",
        "_tls",
        "_transport",
        "_writer",
        "busy_until",
        "closing",
        "deadline",
        "has_sent_request",
        "reading",
        "release_at",
    )

    # The writer is made with the reader.
    _writer: ResponseWriter

    def __init__(
        self,
        context: LoopContext,
        codecs: H1Codecs,
        proxied: ProxiedAddresses | None = None,
        tls: LoopTls | None = None,
    ) -> None:
        self.flow = FlowControl()
        self._context = context
        self._codecs = codecs
        self._proxied_addresses = proxied
        self._tls = tls
        self._reader: RequestReader | None = None
        self._exchange: Exchange | None = None
        self._is_advancing = False
        self._at_eof = False
        self._is_head_timed = False
        self._is_handshake = False
        self._control_fields: Headers | None = None
        self._forwarded: Forwarded | None = None
        self._buffer = WriteBuffer(context.write_batcher, in_pieces=tls is not None)
        self._sent_head: list[bytes] = []
        self._keeps_sent_head = context.access_log is not None and context.access_log.format is not None
        self.reading = READ_HEAD
        self.closing = OPEN
        self.deadline = self.release_at = inf
        self.busy_until = -inf
        self.has_sent_request = False

    # Called by the event loop.

    def connection_made(self, transport: asyncio.Transport) -> None:
        """The connection is open."""
        context = self._context
        self._transport = transport
        self._buffer.open(transport)
        self.flow.transport = transport
        self.peer = make_peer(transport, self._proxied_addresses, context.trusted_proxies, self._tls)
        if self.deadline == inf:
            self.deadline = context.deadlines.head
        self.release_at = context.deadlines.release
        context.registry.connections.add(self)
        if context.registry.is_draining:
            self.begin_shutdown()

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        if self.closing != OPEN:
            return
        metrics = self._context.metrics
        if metrics is not None:
            metrics.received += len(data)
        reader = self._reader
        if reader is None:
            self._reader = reader = self._codecs.make_reader()
            self._writer = self._codecs.make_writer()
        reader.feed(data)
        self._advance(reader)

    def eof_received(self) -> bool:
        """The client sends no more. Return whether it may still get an answer (RFC 9112 section 9.6)."""
        self._at_eof = True
        if self.closing != OPEN:
            return False
        goes_on = self._answer_before_eof()
        # Where nothing more can be answered, the transport closes and writes only what it has been given.
        self._buffer.flush()
        return goes_on

    def _answer_before_eof(self) -> bool:
        """Answer the requests that came whole before the client's end; return whether another answer is to come."""
        reader = self._reader
        if reader is not None and self._exchange is None and reader.unread:
            self._advance(reader)
        exchange = self._exchange
        if exchange is not None:
            can_answer = self._transport.can_write_eof() and not self._is_handshake
            exchange.disconnect(gone=not can_answer)
            return can_answer and self.reading != READ_BODY
        if reader is not None and reader.unread and self.closing == OPEN:
            # Load balancers probe an open port like that every few seconds.
            self._reject(bad_request("the request is incomplete"), logging.DEBUG)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by either side."""
        registry = self._context.registry
        registry.connections.discard(self)
        self.deadline = inf
        self.closing = CLOSED
        self._buffer.discard()
        # Before the application hears of it, which may cancel a stream: one that waits in `send` has to leave it.
        self.flow.on_writable()
        self._close_exchange()
        registry.check_drained()

    def pause_writing(self) -> None:
        """The client takes less than is written."""
        self.flow.write_paused = True

    def resume_writing(self) -> None:
        """The client has taken enough."""
        self.flow.on_writable()
        if self._exchange is None and self.closing == OPEN:
            self._start_idling()
            self.flow.forget_progress()
            self._continue_reading()
        elif self.closing == FLUSHING:
            self._close_transport(self._context.deadlines.close)

    # Reading requests.

    def _advance(self, reader: RequestReader) -> None:
        """Read as far as may be read now: the one loop that does, never begun within itself.

        A response that is complete before its application has waited for anything lets this loop go on.
        """
        self._is_advancing = True
        flow = self.flow
        goes_on = True
        try:
            while reader.unread and goes_on and self.closing == OPEN:
                if self.reading == READ_HEAD:
                    goes_on = not flow.write_paused and self._read_head(reader)
                else:
                    goes_on = self.reading == READ_BODY and self._read_body(reader)
        except HTTPError as error:
            self._reject(error)
        self._is_advancing = False
        if self.closing == FLUSHING:
            self._finish()
        elif reader.unread or flow.reading_paused:
            self._limit_read_ahead(reader)

    def _limit_read_ahead(self, reader: RequestReader) -> None:
        """Stop reading while enough bytes wait for their turn; read again once what comes next can be taken."""
        if self.closing != OPEN:
            return
        if self._can_read():
            self.flow.resume_reading()
        elif reader.unread > self._context.bounds.read_ahead_bytes:
            self.flow.pause_reading()

    def _can_read(self) -> bool:
        """Return whether what comes next can be read at once: the rest of a body that has room, or a head."""
        if self.reading == READ_BODY:
            exchange = self._exchange
            assert exchange is not None
            body = exchange.body
            return body is None or body.has_room()
        return self.reading == READ_HEAD and not self.flow.write_paused

    def _read_head(self, reader: RequestReader) -> bool:
        """Start the exchange of the next request if its head is here; return whether it is."""
        head = reader.read_head()
        if head is None:
            if reader.has_partial_head and not self._is_head_timed:
                self._is_head_timed = True
                self.deadline = self._context.deadlines.head
            return False
        self._is_head_timed = False
        self._start_exchange(head, reader)
        return True

    def _start_exchange(self, head: RequestHead, reader: RequestReader) -> None:
        """Call the application, with as much of the body as has come with the head."""
        context = self._context
        peer = self.peer
        if head.target[0] != SLASH:
            to_origin_form(head)
        scope = context.scopes.build(head, peer)
        if peer.is_trusted:
            # Behind a proxy, only the client may differ from request to request.
            if head.control_fields != self._control_fields:
                self._control_fields = head.control_fields
                self._forwarded = read_forwarded(head.control_fields, context.trusted_proxies, context.forwarded_fields)
            if self._forwarded is not None:
                self._forwarded.apply(scope)
        framing = head.framing
        context.check_body_length(framing.content_length)
        if not context.registry.admit():
            raise HTTPError(503, "Service Unavailable: too many requests in flight")
        self.deadline = inf
        self._exchange = exchange = Exchange(self, context, head, scope)
        writer = self._writer
        writer.head = head
        writer.keep_alive = framing.keep_alive
        self.reading = AWAIT_RESPONSE
        if framing.wants_websocket and head.method == "GET" and context.begin_websocket is not None:
            self._start_websocket(exchange, context.begin_websocket)
            return
        if framing.has_body:
            self.reading = READ_BODY
            if reader.unread:
                try:
                    self._read_body(reader)
                except HTTPError:
                    context.registry.end_call(exchange)
                    raise
            self._update_body_deadline()
        context.call_app(exchange)

    def _start_websocket(self, exchange: Exchange, begin: BeginWebSocket) -> None:
        self._writer.keep_alive = False
        self._is_handshake = True
        try:
            begin(exchange)
        except HTTPError:
            self._exchange = None
            self._context.registry.withdraw()
            raise
        if self._at_eof:
            self._buffer.close()

    def _read_body(self, reader: RequestReader) -> bool:
        """Pass the next part of the body on; return whether there was one, or its end."""
        data = reader.read_body()
        is_complete = reader.body_complete
        if not data and not is_complete:
            return False
        exchange = self._exchange
        assert exchange is not None
        if is_complete:
            self.reading = AWAIT_RESPONSE
            self.deadline = inf
        if not exchange.feed(data, not is_complete):
            self._linger()
        elif is_complete and exchange.request_state == DISCARDING:
            self._exchange = None
            self._start_idling()
        else:
            self._update_body_deadline()
        return True

    def _update_body_deadline(self) -> None:
        """Set the deadline for more of the body, if it is for the client to send some."""
        exchange = self._exchange
        if exchange is not None and self.closing == OPEN and exchange.request_state == BODY_EXPECTED:
            self.deadline = self._context.deadlines.body if exchange.is_awaiting_body() else inf

    def _reject(self, error: HTTPError, level: int = logging.WARNING) -> None:
        """Answer a request that cannot be served, where an answer is still possible, and end the connection."""
        logger.log(level, "Refused an HTTP request from %s: %d, %s", self.peer.label, error.status, error.reason)
        if self._context.metrics is not None:
            self._context.metrics.on_refusal(error.status)
        exchange = self._exchange
        if exchange is None or exchange.can_still_answer():
            self._buffer.write([self._writer.error_response(error)], 0)
            self._sent_head = []
        self._linger()
        if exchange is not None:
            exchange.reject(error.status)

    def _close_exchange(self) -> None:
        """End the exchange in flight, whose connection is gone."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.on_stream_closed()

    def _continue_reading(self) -> None:
        """Read the next request, which may be here already."""
        reader = self._reader
        if self._at_eof or (reader is not None and reader.unread):
            # Not at once: the application is still in its `send`, and its request in flight until it returns.
            self._context.loop.call_soon(self._read_next)
        else:
            self.flow.resume_reading()

    def _read_next(self) -> None:
        """Read the request that has been waiting for its turn."""
        reader = self._reader
        if reader is not None and self._exchange is None and self.closing == OPEN and not self.flow.write_paused:
            self._advance(reader)
            if self._at_eof and not self._answer_before_eof():
                self._buffer.close()

    # Called by the exchange: see `Stream`.

    def prepare_response(self, status: int, fields: Iterable[Field]) -> int:
        """Take the head of a response: see `Stream`."""
        return self._writer.prepare(status, fields)

    def prepare_formatted(self, head: ResponseHead) -> None:
        """Take a head that is formatted already: see `Stream`."""
        self._writer.prepare_formatted(head)

    def announce_trailers(self) -> None:
        """End the body in trailers: see `Stream`."""
        self._writer.announce_trailers()

    def start_response(self, body: bytes, more: bool) -> None:
        """Send the head: see `Stream`."""
        writer = self._writer
        if self._context.registry.is_draining or (writer.head.framing.expects_continue and self._awaits_continue()):
            writer.keep_alive = False
        pieces = writer.start(body, more)
        if self._keeps_sent_head:
            self._sent_head = list(pieces)
        self._buffer.write_batched(pieces, len(body), more)

    def _awaits_continue(self) -> bool:
        """Return whether the client waits for 100: it may or may not send its body after another answer."""
        exchange = self._exchange
        return exchange is not None and exchange.body is not None and exchange.body.awaits_continue

    def send_body(self, data: bytes, more: bool) -> None:
        """Send a part of the body: see `Stream`."""
        self._buffer.write_batched(self._writer.body(data, more), len(data), more)

    async def send_file(self, file: BinaryIO, offset: int, size: int) -> None:
        """Send the rest of the body from a file: see `Stream`."""
        writer = self._writer
        if writer.holds_head():
            writer.expect_file(size)
            self.start_response(b"", True)
            self._buffer.flush()
        else:
            self._buffer.write([writer.file_prefix(size)], 0)
        if size and writer.sends_body():
            write = self._buffer.write_in_pieces
            past = await send_file(self._context.loop, self._transport, self.flow, write, file, offset, size)
            self._buffer.count_sent(past)
        self._buffer.write([writer.file_suffix(size)], 0)

    def send_trailers(self, fields: Iterable[Field], more: bool) -> None:
        """Send trailers: see `Stream`."""
        self._buffer.write([self._writer.trailers(fields, more)], 0)

    def send_informational(self, status: int, fields: Iterable[Field]) -> None:
        """Send an informational response: see `Stream`."""
        self._buffer.write([self._writer.informational(status, fields)], 0)
        if status == 100:
            self._update_body_deadline()

    def response_fields(self) -> Headers:
        """Return the fields of the head that was sent last: see `Stream`."""
        return parse_fields(self._sent_head)

    def end_response(self) -> None:
        """End the response, and with it the connection unless that is kept alive: see `Stream`."""
        if not self._writer.keep_alive:
            self.reset()
        elif self.reading == READ_BODY:
            self.deadline = self._context.deadlines.head
            exchange = self._exchange
            assert exchange is not None
            exchange.discard_body()
        else:
            self._exchange = None
            self._start_idling()
            if not self._is_advancing:
                self._continue_reading()

    def _start_idling(self) -> None:
        """Wait for the next request, which may take its time."""
        context = self._context
        self.reading = READ_HEAD
        self.deadline = context.deadlines.idle
        self.release_at = context.deadlines.release
        if context.releaser is not None and context.releaser.credit > 0:
            context.releaser.on_response_complete(self, self.busy_until)

    def switch_protocols(self, fields: Iterable[Field], protocol: ConnectionProtocol) -> bytes:
        """Accept an upgrade: see `Stream`. The protocol gets the transport, and this connection's flow control."""
        self._buffer.write([self._writer.switching_protocols(fields)], 0)
        self.closing = UPGRADED
        self._exchange = None
        self._context.registry.connections.discard(self)
        self._transport.set_protocol(protocol)
        self.flow.resume_reading()
        protocol.take_over(self._transport, self.flow)
        return self._reader.take_unread() if self._reader is not None else b""

    def is_closing(self) -> bool:
        """Return whether the connection is closing, or a response was broken off: see `Stream`."""
        return self.closing != OPEN or self._transport.is_closing()

    def probe_client(self) -> None:
        """Find out whether a client that sends no more has gone: see `Stream`.

        The end of what a client sends may be all that is seen of its leaving. If it has left, its system rejects what
        it is sent, and of an informational response it may be sent as many as we like (RFC 9110 section 15.2).
        """
        if self._at_eof and self.closing == OPEN:
            exchange = self._exchange
            if exchange is not None and exchange.can_still_answer():
                self.send_informational(100, ())
            self.deadline = self._context.deadlines.now

    def _check_hang_up(self) -> None:
        if has_hung_up(self._transport):
            self._transport.abort()
        else:
            # Check again at the next tick.
            self.deadline = self._context.deadlines.now

    def pause_reading(self) -> None:
        """Leave the rest of the request with the client: see `Stream`."""
        self.flow.pause_reading()

    def resume_reading(self) -> None:
        """Read from the client again: see `Stream`."""
        self.flow.resume_reading()
        self._update_body_deadline()

    # Closing.

    def reset(self) -> None:
        """Close the connection once what is queued has been written: see `Stream`."""
        if self.closing == OPEN:
            self.closing = FLUSHING
            if not self._is_advancing:
                self._finish()

    def _finish(self) -> None:
        self._buffer.flush()
        self.deadline = self._context.deadlines.idle
        reader = self._reader
        if self.reading == READ_BODY or (reader is not None and reader.unread):
            self._linger()
        elif not self.flow.write_paused or self._transport.can_write_eof():
            self._close_transport(self._context.deadlines.close)
        # Else wait until the client has taken most of it: TLS ends within a time of its own, however much is queued.

    def _linger(self) -> None:
        """End the answer and read past what the client still sends.

        Closing with unread bytes would reset the connection, and the answer could be lost (RFC 9112 section 9.6).
        """
        self._buffer.flush()
        self.closing = LINGERING
        if self._reader is not None:
            self._reader.discard()
        self.flow.watch_progress()
        self.deadline = self._context.deadlines.linger
        self.flow.resume_reading()
        if self._at_eof:
            self._buffer.close()
        elif self._transport.can_write_eof() and not self._transport.is_closing():
            self._buffer.write_eof()

    def _end_lingering(self) -> None:
        """Close the connection, unless its client still takes bytes.

        TLS has no half-close: over it, the client has not yet been told of the end.
        """
        if self.flow.has_progressed():
            self.deadline = self._context.deadlines.linger
        elif self._transport.can_write_eof() or self._transport.is_closing():
            self._transport.abort()
        else:
            self._close_transport(self._context.deadlines.linger)

    def _close_transport(self, deadline: float) -> None:
        """Close the transport.

        Over TLS the client has until `deadline` to take what is left and to end its side too.
        """
        if not self._transport.can_write_eof():
            self.closing = LINGERING
            self.flow.watch_progress()
            self.deadline = deadline
        self._buffer.close()

    # Called by the sweep and by the shutdown.

    def on_deadline(self) -> None:
        """Close the connection of a client that took too long to send a head, a body, or anything at all."""
        deadlines = self._context.deadlines
        if self.closing == LINGERING:
            self._end_lingering()
        elif self.closing == FLUSHING or (self._exchange is None and self._transport.get_write_buffer_size()):
            self._check_write_progress()
        elif self._exchange is not None and self._exchange.is_awaiting_body():
            self._reject(body_too_late())
        elif self._exchange is not None and self._at_eof:
            self._check_hang_up()
        elif self._exchange is not None:
            self._linger()
        elif self._has_unread():
            self._reject(HTTPError(408, "the head of the request took too long"))
        else:
            self._close_transport(deadlines.linger if deadlines.is_draining else deadlines.close)

    def _has_unread(self) -> bool:
        return self._reader is not None and self._reader.unread > 0

    def _check_write_progress(self) -> None:
        """Wait on for a client that is still taking the last answer, and abort where it takes none of it."""
        if self.flow.has_progressed():
            self.deadline = self._context.deadlines.write_stall
        else:
            self._transport.abort()

    def release(self) -> bool:
        """Release the connection to the acceptor; return whether that was done.

        A connection that has something to read, to write or to answer stays.
        """
        if self._exchange is not None or self.closing != OPEN or self._at_eof or self._has_unread():
            return False
        self._buffer.flush()
        releaser = self._context.releaser
        has_sent_request = self.has_sent_request or self._reader is not None
        if releaser is None or not releaser.release(self._transport, self.peer, self.deadline, has_sent_request):
            return False
        self.closing = RELEASED
        self.deadline = self.release_at = inf
        self._context.registry.connections.discard(self)
        return True

    def begin_shutdown(self) -> None:
        """Close an idle connection now, or soon where a request is on its way, because the server is stopping."""
        deadlines = self._context.deadlines
        exchange = self._exchange
        if exchange is None and self._reader is None:
            self.deadline = min(self.deadline, deadlines.idle)
        elif exchange is None and not self._has_unread():
            self.deadline = deadlines.for_idle_at_shutdown(self.deadline)
        elif self.closing == LINGERING:
            self.deadline = min(self.deadline, deadlines.linger)
        elif self.closing == OPEN and (exchange is None or exchange.request_state == DISCARDING):
            # Part of a head, or a body that is only read past, is no request in flight.
            self.deadline = min(self.deadline, deadlines.head)

    def abort(self) -> None:
        """Close the connection at once, unwritten bytes and all, and end the exchange in flight."""
        self.closing = CLOSED
        # A held answer is complete, and is in the access log already.
        self._buffer.flush()
        self._close_exchange()
        self._transport.abort()
