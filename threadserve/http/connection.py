"""A client's HTTP/1.1 connection: bytes in, exchanges one after the other, bytes out.

Belongs to the loop thread that accepted it. It owns the transport, the parser and the exchange in flight; bytes of
later requests wait here, unparsed, until their turn. It never looks into an application's messages.
"""

import asyncio
import logging
from collections.abc import Callable
from math import inf
from typing import Any, cast

from threadserve.errors import ParserError
from threadserve.http.exchange import Exchange
from threadserve.http.flow import FlowControl
from threadserve.http.framing import ChunkedFraming, Framing, LengthFraming
from threadserve.http.grammar import explain_head
from threadserve.http.loop_state import BeginWebSocket, LoopState, Successor
from threadserve.http.peer import peer_of
from threadserve.http.refusal import CRLF, Refusal, bad_request, refusal_answer
from threadserve.http.response_side import COMPLETE, HELD
from threadserve.http.rules import DECISIVE, MessageRules, read_rules, refuse_head, too_large
from threadserve.http.scope import build_scope
from threadserve.http.wsgi_exchange import exchange_maker
from threadserve.proxies.forwarded import Forwarded, read_forwarded
from threadserve.proxies.protocol import Announced
from threadserve.tls.certificates import LoopTls
from threadserve.types import Headers

logger = logging.getLogger("threadserve.error")

READ_AHEAD = 65536
PIECE = 65536
BLANK_LINE = b"\r\n\r\n"

# A connection's phases, in their order.
OPEN = 0
ENDING = 1  # No further request is read; what is queued is still written.
LINGERING = 2


class HttpConnection(FlowControl, asyncio.Protocol):
    """One connection. The event loop calls it, and its exchange and response call back."""

    __slots__ = (
        "_announced",
        "_at_eof",
        "_checked",
        "_decisive",
        "_exchange",
        "_forwarded",
        "_framing",
        "_head_begun",
        "_make_exchange",
        "_match_head",
        "_parser",
        "_peer",
        "_pending",
        "_phase",
        "_reading",
        "_rules",
        "_special",
        "_state",
        "_successor",
        "_tls",
        "deadline",
        "write",
    )

    def __init__(self, state: LoopState, announced: Announced | None = None, tls: LoopTls | None = None) -> None:
        super().__init__()
        self._state = state
        self._announced = announced
        self._tls = tls
        self._match_head = state.match_head
        self._make_exchange = exchange_maker(state)
        self._parser = state.make_parser()
        self._exchange: Exchange | None = None
        self._framing: Framing | None = None
        self._pending = b""
        self._reading = False
        self._phase = OPEN
        self._head_begun = False
        self._checked = 0
        self._at_eof = False
        self._special: Headers | None = None
        self._decisive: Headers | None = None
        self._forwarded: Forwarded | None = None
        self._rules: MessageRules | None = None
        self._successor: Successor | None = None
        self.deadline = inf

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self.transport = cast("asyncio.Transport", transport)
        self.write: Callable[[bytes], None] = self.transport.write if self._tls is None else self._write_pieces
        self._peer = peer_of(transport, self._announced, self._state.trusted_proxies, self._tls)
        self.deadline = self._state.head_deadline
        self._state.connections.add(self)
        if self._state.draining:
            self.begin_shutdown()

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived: as many whole requests as may be begun now are, and the rest is kept."""
        if self._phase != OPEN:
            return
        if self._pending:
            data = self._pending + data
            self._pending = b""
        self._reading = True
        position = 0
        try:
            while position < len(data) and self._phase == OPEN:
                if self._framing is not None:
                    after = self._read_body(self._framing, data, position)
                elif self._exchange is None and not self.write_paused:
                    after = self._read_head(data, position)
                else:
                    break
                if after == position:
                    break
                position = after
        except Refusal as refusal:
            self._refuse(refusal)
        self._reading = False
        if position < len(data) or self._phase == ENDING or self._reading_paused:
            self._keep(data, position)

    def eof_received(self) -> bool:
        """The client sends no more. Returns whether it may still get an answer (RFC 9112 section 9.6)."""
        self._at_eof = True
        if self._phase != OPEN:
            return False
        if self._exchange is None and self._pending:
            self.data_received(b"")
        if self._exchange is not None:
            can_answer = self.transport.can_write_eof()
            self._exchange.disconnect(gone=not can_answer)
            return can_answer and self._framing is None
        if self._pending and self._phase == OPEN:
            # Balancers that look whether a port is open do that, every few seconds.
            self._refuse(bad_request("the request is incomplete"), logging.DEBUG)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by whichever side."""
        if self._successor is not None:
            self._successor.connection_lost(exc)
            return
        self._state.connections.discard(self)
        self.deadline = inf
        self._phase = LINGERING
        # Before anyone is told, who may cancel a stream: one that waits in `send` is to get out of it.
        self.resume_writing()
        self._break_off()
        self._state.check_drained()

    def resume_writing(self) -> None:
        """The client has taken enough."""
        super().resume_writing()
        if self._exchange is None and self._phase == OPEN:
            self.deadline = self._state.idle_deadline
            self._unwritten = inf
            self._await_next()
        elif self._phase == ENDING:
            self._close_transport(self._state.close_deadline)

    # Reading requests.

    def _read_head(self, data: bytes, position: int) -> int:
        """Begins the exchange of the request whose head is at `position`; returns where that head ends.

        Every request comes this way: what is rare is left to others.
        """
        if self._head_begun and data.find(BLANK_LINE, max(0, self._checked - len(CRLF))) < 0:
            return self._read_partial_head(data, position)
        match = self._match_head(data, position)
        if match is None:
            return self._read_partial_head(data, position)
        end = match.end()
        head = data if end - position == len(data) else data[position:end]
        state = self._state
        parser = self._parser
        try:
            parser.head(head)
        except ParserError:
            raise refuse_head(head, state.head_limit, state.field_limit) from None
        if len(head) > state.head_limit or len(parser.headers) > state.field_limit:
            raise too_large(head, state.head_limit, state.field_limit)
        is_http11 = match.lastindex is None
        rules = self._rules
        # Most requests on a connection repeat these fields, and then mean the same.
        if rules is None or parser.special != self._special or is_http11 != rules.is_http11:
            rules = self._learn_rules(parser.special, is_http11)
        scope = build_scope(state, parser, "1.1" if is_http11 else "1.0", self._peer)
        if self._forwarded is not None:
            self._forwarded.apply(scope)
        if state.limit is not None and not state.limit.enter_threadsafe():
            raise Refusal(503, "Service Unavailable: too many requests in flight")
        if not rules.is_plain:
            if rules.opens_websocket and parser.method == "GET" and state.begin_websocket is not None:
                return self._hand_over(state.begin_websocket, scope, data, end)
            if rules.has_body:
                self._framing = ChunkedFraming() if rules.chunked else LengthFraming(rules.content_length)
        self.deadline = inf
        self._head_begun = False
        self._exchange = exchange = self._make_exchange(self, state, scope, rules)
        state.requests += 1
        exchange.begin()
        return end

    def _learn_rules(self, special: Headers, is_http11: bool) -> MessageRules:
        """What fields mean that are not those of the last request. Behind a proxy often only the client is another."""
        state = self._state
        self._special = special
        if self._peer.is_trusted:
            self._forwarded = read_forwarded(special, state.trusted_proxies, state.believed_fields)
        decisive = [field for field in special if field[0] in DECISIVE]
        if self._rules is None or decisive != self._decisive or is_http11 != self._rules.is_http11:
            self._rules = read_rules(decisive, is_http11)
            self._decisive = decisive
        return self._rules

    def _hand_over(self, begin: BeginWebSocket, scope: dict[str, Any], data: bytes, end: int) -> int:
        """Gives the connection, and what has arrived behind this head, to a WebSocket; returns where the data ends."""
        state = self._state
        self.resume_reading()
        try:
            self._successor = successor = begin(self.transport, scope, data[end:])
        except Refusal:
            if state.limit is not None:
                state.limit.leave_threadsafe()
            raise
        self._phase = LINGERING
        state.connections.discard(self)
        if self._at_eof:
            successor.eof_received()
            self.transport.close()
        return len(data)

    def _keep(self, data: bytes, position: int) -> None:
        """Keeps the bytes whose turn has not come, or ends the connection in view of them."""
        if self._phase == ENDING:
            self._finish(unread=position < len(data) or self._framing is not None)
        elif self._phase == OPEN:
            self._pending = data[position:]
            if self._takes_bytes():
                self.resume_reading()
            elif len(self._pending) > READ_AHEAD:
                self.pause_reading()

    def _takes_bytes(self) -> bool:
        """Whether what comes next can be read at once: as the rest of a body that has room, or as a head."""
        if self._framing is not None:
            return cast("Exchange", self._exchange).has_room
        return self._exchange is None and not self.write_paused

    def _read_partial_head(self, data: bytes, position: int) -> int:
        # RFC 9112 section 2.2: an empty line before the request line is ignored.
        if data.startswith(CRLF, position):
            return position + len(CRLF)
        # A head that begins is kept from its first byte on. Lines that have been looked at are not again, however small
        # the pieces are that the rest comes in.
        if not self._head_begun:
            self._head_begun = True
            self._checked = 0
            self.deadline = self._state.head_deadline
        self._checked = explain_head(data, position, position + self._checked, self._state.head_limit) - position
        return position

    def _read_body(self, framing: Framing, data: bytes, position: int) -> int:
        after = framing.advance(data, position)
        if after == position:
            return position
        try:
            body = self._parser.body(framing.plain(data, position, after))
        except ParserError as error:
            raise bad_request("malformed body") from error
        if framing.done:
            self._framing = None
        exchange = cast("Exchange", self._exchange)
        if not exchange.feed(body, more=not framing.done):
            self._linger()
        elif framing.done and exchange.phase == COMPLETE:
            self._exchange = None
            self.deadline = self._state.idle_deadline
        return after

    def _refuse(self, refusal: Refusal, level: int = logging.WARNING) -> None:
        """Answers a request that cannot be served, where an answer is still possible, and ends the connection."""
        logger.log(level, "Refused an HTTP request from %s: %d, %s", self._peer.label, refusal.status, refusal.reason)
        exchange = self._exchange
        if exchange is None or exchange.phase <= HELD:
            self.write(refusal_answer(refusal, self._state.default_fields))
        self._linger()
        if exchange is not None:
            exchange.disconnect(gone=True)

    # Called by the exchange and its response.

    def on_response_complete(self, exchange: Exchange) -> None:
        """The response's last byte is queued: the connection goes on or ends."""
        state = self._state
        if state.access_log is not None:
            state.access_log.add(exchange.access_entry(self._peer))
        if exchange.keep_alive and self._framing is None:
            self._exchange = None
            self.deadline = state.idle_deadline
            if not self._reading:
                self._await_next()
        elif exchange.keep_alive:
            self.deadline = state.head_deadline
            exchange.discard_body()
        else:
            self.close()
        if exchange.changed is not None:
            exchange.wake()

    def _break_off(self) -> None:
        """The connection is gone for the exchange in flight, which the access log tells if it was not answered."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if exchange.phase != COMPLETE and self._state.access_log is not None:
            exchange.break_off()
            self._state.access_log.add(exchange.access_entry(self._peer))
        exchange.disconnect(gone=True)

    def _await_next(self) -> None:
        """The request after this one may come, or has been waiting."""
        if self._pending or self._at_eof:
            # Not at once: the application is still in its `send`, and its request in flight until it returns.
            self._state.loop.call_soon(self._read_on)
        else:
            self.resume_reading()

    def _read_on(self) -> None:
        """Takes up the request that has been waiting for its turn."""
        if self._exchange is None and self._phase == OPEN and not self.write_paused:
            self.data_received(b"")
            if self._at_eof and self._exchange is None:
                self.transport.close()

    def _write_pieces(self, data: bytes) -> None:
        """Queues bytes on a TLS transport, which notices only at the next write that the client does not take them."""
        for position in range(0, len(data), PIECE):
            self.transport.write(data[position : position + PIECE])

    def close(self) -> None:
        """Closes the connection once what is queued has been written."""
        if self._phase == OPEN:
            self._phase = ENDING
            if not self._reading:
                self._finish(unread=bool(self._pending) or self._framing is not None)

    def _finish(self, *, unread: bool) -> None:
        self.deadline = self._state.idle_deadline
        if unread:
            self._linger()
        elif not self.write_paused or self.transport.can_write_eof():
            self._close_transport(self._state.close_deadline)
        # TLS ends within a time of its own, however much is queued: the client first takes most of that.

    def _linger(self) -> None:
        """Ends the answer and reads past what the client still sends.

        Closing with unread bytes would reset the connection, and the answer could be lost (RFC 9112 section 9.6).
        """
        self._phase = LINGERING
        self._pending = b""
        self._framing = None
        self._unwritten = self.transport.get_write_buffer_size()
        self.deadline = self._state.linger_deadline
        self.resume_reading()
        if self._at_eof:
            self.transport.close()
        elif self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()

    def _end_lingering(self) -> None:
        """The client has had its time. Only over TLS, which has no half-close, it has not yet been told of the end."""
        if self.takes_more():
            self.deadline = self._state.linger_deadline
        elif self.transport.can_write_eof() or self.transport.is_closing():
            self.transport.abort()
        else:
            self._close_transport(self._state.linger_deadline)

    def _close_transport(self, deadline: float) -> None:
        """Closes; over TLS the client has until the deadline to take what is left and to end it on its side too."""
        if not self.transport.can_write_eof():
            self._phase = LINGERING
            self._unwritten = self.transport.get_write_buffer_size()
            self.deadline = deadline
        self.transport.close()

    # Called by the sweep and by the shutdown.

    def on_deadline(self) -> None:
        """The client took too long: to send a head, a body nobody waits for, or anything at all."""
        state = self._state
        if self._phase == LINGERING:
            self._end_lingering()
        elif self._phase == ENDING or (self._exchange is None and self.transport.get_write_buffer_size()):
            self._wait_for_taking()
        elif self._exchange is None and self._pending:
            self._refuse(Refusal(408, "the head of the request took too long"))
        elif self._exchange is None:
            self._close_transport(state.linger_deadline if state.draining else state.close_deadline)
        else:
            self._linger()

    def _wait_for_taking(self) -> None:
        """The client is still taking the last answer, and then gets its time to go on; or it takes none of it."""
        if self.takes_more():
            self.deadline = self._state.untaken_deadline
        else:
            self.transport.abort()

    def begin_shutdown(self) -> None:
        """The server is stopping: an idle connection goes now, or soon where a request is on its way."""
        exchange = self._exchange
        if exchange is None and not self._pending:
            self.deadline = self._state.shutdown_deadline(self.deadline)
        elif self._phase == LINGERING:
            self.deadline = min(self.deadline, self._state.linger_deadline)
        elif self._phase == OPEN and (exchange is None or exchange.phase == COMPLETE):
            # Part of a head, or a body that is only read past, is no request in flight.
            self.deadline = min(self.deadline, self._state.head_deadline)

    def abort(self) -> None:
        """Closes the connection at once, unwritten bytes and all, and breaks off the exchange in flight."""
        self._phase = LINGERING
        self._break_off()
        self.transport.abort()
