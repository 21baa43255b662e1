"""One exchange's stream of an HTTP/2 connection.

Belongs to its connection, on the loop's thread. It owns what its response has to send and is not sent yet, and knows
how far either side has come; it never writes to the transport.
"""

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Any, BinaryIO

from h2.errors import ErrorCodes

from threadserve.http.exchange import Exchange
from threadserve.http.files import copy_file
from threadserve.http.flow import FlowControl
from threadserve.http.head import MessageFraming, ResponseHead
from threadserve.http.peer import Peer
from threadserve.http.stream import Stream
from threadserve.http2.errors import MalformedRequest
from threadserve.http2.priorities import Priority
from threadserve.http2.responses import FieldMaker, ResponseFields, plain_fields
from threadserve.types import Field, Headers


class StreamOwner:
    """What a stream sees of its connection.

    `loop` is the connection's, `maker` makes fields, and `buffer_bytes` of a response may wait.
    """

    __slots__ = ("buffer_bytes", "loop", "maker")

    loop: Any
    maker: FieldMaker
    buffer_bytes: int

    def send_block(self, stream: "H2Stream", fields: list[Field], *, is_informational: bool, ends: bool) -> None:
        """Sends a header block, and with it, or not, the response's end."""
        raise NotImplementedError

    def on_queued(self, stream: "H2Stream") -> None:
        """The stream has something to send."""
        raise NotImplementedError

    def leave(self) -> None:
        """Lets what has been sent leave, or soon."""
        raise NotImplementedError

    def credit(self, stream: "H2Stream", size: int) -> None:
        """Lets the client send so many bytes more."""
        raise NotImplementedError

    def reset(self, stream: "H2Stream", code: ErrorCodes) -> None:
        """Ends the stream at once, with what is queued."""
        raise NotImplementedError

    def on_progress(self, stream: "H2Stream") -> None:
        """A side of the stream has ended, or its response is complete."""
        raise NotImplementedError

    def open_tunnel(self, stream: "H2Stream", protocol: Any) -> None:
        """Hands the bytes of the stream to another protocol, and that the transport they go through."""
        raise NotImplementedError


class H2Stream(Stream):
    """A stream.

    `queued` are the bytes that wait to be sent, `has_ended` says that nothing follows them, but for `trailers`, and
    `end_is_sent` that the client has been told so. `request_has_ended` says that the client sends no more,
    `is_answered` that the exchange has its response complete, and `is_closed` that nothing reaches the client any more.
    With `awaits_window` it has something to send that the client does not take yet; `has_moved` says whether either
    side has sent any since that was asked last. By `body_due`, in the seconds of the loop's `Deadlines`, the client has
    to send more of its body, where that is for it to do.
    """

    __slots__ = (
        "_declared",
        "_early",
        "_head",
        "_is_handshake",
        "_is_head",
        "_owner",
        "_queue",
        "_reading_paused",
        "_sends_body",
        "_trails",
        "_uncredited",
        "awaits_window",
        "body_due",
        "end_is_sent",
        "exchange",
        "has_ended",
        "has_moved",
        "id",
        "is_answered",
        "is_closed",
        "priority",
        "queued",
        "request_has_ended",
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
        self.tunnel: Any = None
        self._owner = owner
        # How much the client has still to send, where it has said so.
        self._declared = -1 if rules.chunked or rules.wants_websocket else rules.content_length
        # What has come of a WebSocket that is not accepted yet; more than its window does not.
        self._early: list[bytes] = []
        self._is_handshake = self._reading_paused = rules.wants_websocket
        self._head: ResponseFields | None = None
        self._is_head = is_head
        self._queue: deque[bytes | memoryview] = deque()
        self._uncredited = 0
        self._sends_body = True
        self._trails = False
        self.queued = 0
        self.trailers: list[Field] = []
        self.sent_fields: list[Field] = []
        self.has_ended = False
        self.end_is_sent = False
        self.request_has_ended = False
        self.is_answered = False
        self.is_closed = False
        self.awaits_window = False
        self.body_due: float = inf
        self.has_moved = True

    # From the client.

    def count(self, size: int, ends: bool) -> None:
        """Holds a body against its content-length. Raises `MalformedRequest` (RFC 9113 section 8.1.1)."""
        if self._declared < 0:
            return
        self._declared -= size
        if self._declared < 0 or (ends and self._declared > 0):
            self._declared = 0
            raise MalformedRequest("a body that is not as long as its content-length")

    def on_data(self, data: bytes, size: int, ends: bool) -> bool:
        """Takes a part of the request's body, for which the client has spent `size` bytes of its window.

        Returns False when too much of it has been thrown away because the response is complete already.
        """
        self.has_moved = True
        is_wanted = True
        if self.tunnel is not None:
            if data:
                self.tunnel.data_received(data)
        elif self._is_handshake:
            self._early.append(data)
        elif self.exchange is not None:
            is_wanted = self.exchange.feed(data, not ends)
        if self._reading_paused:
            self._uncredited += size
        elif size:
            self._owner.credit(self, size)
        if ends and self.tunnel is not None:
            self.tunnel.eof_received()
        return is_wanted

    def pause_reading(self) -> None:
        """See `Stream`: the client may send no more than its window."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        """See `Stream`."""
        self._reading_paused = False
        size, self._uncredited = self._uncredited, 0
        if size and not self.is_closed:
            self._owner.credit(self, size)

    def take_uncredited(self) -> int:
        """How much the client has sent that it has got no window back for, which others may have."""
        size, self._uncredited = self._uncredited, 0
        return size

    # Called by the exchange: see `Stream`.

    def prepare_response(self, status: int, fields: Iterable[Any]) -> int:
        """See `Stream`."""
        self._head = head = self._owner.maker.prepare(status, fields)
        self._trails = False
        return head.length

    def prepare_formatted(self, head: ResponseHead) -> None:
        """See `Stream`."""
        self.prepare_response(head.status, head.fields())

    def announce_trailers(self) -> None:
        """See `Stream`."""
        self._trails = True

    def start_response(self, body: bytes, more: bool) -> None:
        """See `Stream`."""
        head, self._head = self._head, None
        if head is None or self.is_closed:
            return
        has_content = head.status != 204 and head.status != 304
        self._sends_body = has_content and not self._is_head
        if head.length < 0 and not more and not self._trails and (self._sends_body or (has_content and body)):
            head.declare_length(len(body))
        ends = not self._sends_body or not (more or body or self._trails)
        self.sent_fields = head.fields
        self._owner.send_block(self, head.fields, is_informational=False, ends=ends)
        if ends:
            self.has_ended = self.end_is_sent = True
        if ends or (more and not body):
            self._owner.leave()
        else:
            self.send_body(body, more)

    def send_body(self, data: bytes, more: bool) -> None:
        """See `Stream`."""
        if self.has_ended or self.is_closed:
            return
        self.has_ended = not more and not self._trails
        if data:
            if not self.queued:
                self.has_moved = True
            self._queue.append(data)
            self.queued += len(data)
        if data or self.has_ended:
            self._owner.on_queued(self)
        if self.queued > self._owner.buffer_bytes and not self.flow.write_paused:
            self.flow.write_paused = True
            if self.tunnel is not None:
                self.tunnel.pause_writing()

    async def send_file(self, file: BinaryIO, offset: int, size: int) -> None:
        """See `Stream`."""
        self._trails = False
        if self._head is not None:
            if self._head.length < 0 and self._head.status != 204:
                self._head.declare_length(size)
            self.start_response(b"", size > 0)
        if size and self._sends_body:
            file.seek(offset)
            await copy_file(self._owner.loop, self.is_closing, self.flow, self._send_block_of_file, file, size)
            self.send_body(b"", more=False)

    def _send_block_of_file(self, block: bytes) -> None:
        self.send_body(block, more=True)

    def send_trailers(self, fields: Iterable[Any], more: bool) -> None:
        """See `Stream`."""
        self.trailers += plain_fields(fields)
        if not more and not self.is_closed:
            self.has_ended = True
            self._owner.on_queued(self)

    def send_informational(self, status: int, fields: Iterable[Any]) -> None:
        """See `Stream`."""
        made = [(b":status", b"%d" % status), *plain_fields(fields)]
        if not self.is_closed:
            self._owner.send_block(self, made, is_informational=True, ends=False)
            self._owner.leave()

    def end_response(self) -> None:
        """See `Stream`."""
        self.is_answered = True
        if self.end_is_sent:
            self._owner.on_progress(self)

    def response_fields(self) -> Headers:
        """See `Stream`."""
        return [field for field in self.sent_fields if not field[0].startswith(b":")]

    def switch_protocols(self, fields: Iterable[Any], protocol: Any) -> bytes:
        """See `Stream`, and RFC 8441 section 5."""
        head = self._owner.maker.prepare(200, fields)
        self._owner.send_block(self, head.fields, is_informational=False, ends=False)
        self._owner.leave()
        self._owner.open_tunnel(self, protocol)
        self.resume_reading()
        early, self._early = self._early, []
        return b"".join(early)

    def is_closing(self) -> bool:
        """See `Stream`."""
        return self.is_closed

    def probe_client(self) -> None:
        """See `Stream`: a client that has gone has reset its stream, or ended the connection."""

    def reset(self) -> None:
        """See `Stream`."""
        self._owner.reset(self, ErrorCodes.INTERNAL_ERROR)

    # Called by what sends.

    def take(self, size: int) -> bytes:
        """Takes so many bytes of what is queued, which has as many."""
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
        self.has_moved = True
        if self.flow.write_paused and self.queued <= self._owner.buffer_bytes // 2:
            self._on_taken()
        return data

    def _take_from_first(self, size: int) -> bytes:
        """Takes so many bytes, or as many as there are, of the first part, whose rest is not copied."""
        first = self._queue.popleft()
        if len(first) <= size:
            return bytes(first)
        view = memoryview(first)
        self._queue.appendleft(view[size:])
        return bytes(view[:size])

    def _on_taken(self) -> None:
        if self.tunnel is not None:
            self.tunnel.resume_writing()
        self.flow.on_writable()

    def on_end_sent(self) -> None:
        """The client has been told that the response is at its end."""
        self.end_is_sent = True
        self._owner.on_progress(self)

    def detach(self) -> None:
        """Forgets what carried another protocol's bytes."""
        self.tunnel = None
        self.flow = FlowControl()

    def close(self) -> None:
        """Nothing reaches the client any more. Whoever waits for it, waits no longer."""
        self.is_closed = True
        self._queue.clear()
        self.queued = 0
        self.flow.on_writable()
