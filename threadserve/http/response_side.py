"""The response of an exchange on its way out: what the application's `send` does.

Belongs to one exchange, on its connection's loop thread. It owns the framing of the response and hands finished bytes
to the outlet; it never reads, and never decides about the connection beyond saying whether it may be kept.
"""

import reprlib
from asyncio import get_running_loop, sleep
from collections.abc import Iterable
from typing import Any, BinaryIO

from threadserve.errors import ClientDisconnected
from threadserve.http.files import open_regular, send_file
from threadserve.http.loop_state import LoopState
from threadserve.http.outlet import Outlet
from threadserve.http.refusal import CRLF
from threadserve.http.response_fields import (
    CONNECTION,
    CONTENT_LENGTH,
    DECIDED_HERE,
    TRANSFER_ENCODING,
    field_line,
    field_lines,
    final_status,
    length_of,
    own_bytes,
    own_field,
    without_field,
)
from threadserve.types import Message

# A response's phases, in their order.
AWAITED = 0
HELD = 1  # The head is kept back until the first of the body tells how long that is.
AHEAD = 2  # The head has been sent without it, for the body is late.
STREAMING = 3
TRAILING = 4
COMPLETE = 5
GONE = 6  # The client went before the response was complete.

WHEN = {
    AWAITED: "while awaiting 'http.response.start'",
    HELD: "after 'http.response.start'",
    AHEAD: "after 'http.response.start'",
    STREAMING: "while awaiting 'http.response.body'",
    TRAILING: "while awaiting 'http.response.trailers'",
    COMPLETE: "after the response was complete",
}

UNDECLARED = -1
LARGE_BODY = 65536
# Parts in a row for a client that has gone, before a stream that seems never to wait lets others have their turn.
LET_GO_AT_ONCE = 100
BODYLESS = frozenset({204, 304})
CLOSE = b"connection: close\r\n\r\n"


class ResponseSide:
    """One response. `send` is what the application gets (ASGI HTTP spec 2.3).

    Attributes with a value in the class are set on an instance only when they come to differ: most never do.
    """

    outlet: Outlet
    state: LoopState
    scope: dict[str, Any]
    keep_alive: bool
    is_head = False
    is_http11 = True
    phase = AWAITED
    status = 0
    _lines: list[bytes]
    _remaining = UNDECLARED
    _expects_continue = False
    _is_plain = True
    _bodyless = False
    _chunked = False
    _wants_trailers = False
    _trails = False
    _trailers = b""
    _is_late = False
    _let_go = 0

    async def send(self, message: Message) -> None:
        """Takes the application's next message and returns when the client has room for more; from any thread.

        What comes once the client has gone is let go, see `_send_to_nobody`. Raises `RuntimeError` for a message out of
        turn or a body that does not fit its content-length, `ValueError` and `TypeError` for headers that would break
        the response, and `ClientDisconnected` to end a stream that would go on for ever.
        """
        if get_running_loop() is not self.state.loop:
            await self.state.crossing.send_threadsafe(self.send, message)
            return
        kind = message["type"]
        phase = self.phase
        if phase == AWAITED and kind == "http.response.start":
            self._start(message)
            if not self.state.awaits_bodies:
                self.state.await_bodies()
            return
        if kind == "http.response.body" and (phase == HELD or phase == STREAMING or phase == AHEAD):
            if phase != HELD and self.outlet.transport.is_closing():
                # The loop has not had a turn to say so.
                self.phase = GONE
                await self._send_to_nobody(message)
                return
            body, more = message.get("body", b""), message.get("more_body", False)
            if type(body) is not bytes:
                body = own_body(body)
            if more or phase != HELD or not self._is_plain or len(body) > LARGE_BODY:
                self._send_part(body, more=more)
            else:
                self._send_whole(body)
        elif phase == GONE:
            await self._send_to_nobody(message)
        else:
            await self._send_extension(kind, message)
        if self.outlet.write_paused:
            await self.outlet.drained()
            if self.phase == GONE:
                await self._send_to_nobody(message)

    def _start(self, message: Message) -> None:
        state = self.state
        status = message["status"]
        if type(status) is not int:
            status = final_status(status)
        self.status = status
        lines = [state.status_lines.get(status) or state.learn_status(status), state.default_fields]
        self._lines = lines
        known = state.field_lines.known
        # Not `get`, which takes microseconds in free-threaded 3.13 where another thread has made the message.
        fields = message["headers"] if "headers" in message else ()  # noqa: SIM401
        if type(fields) is not list:
            fields = list(fields)
        for field in fields:
            try:
                line = known.get(field)
                if line is None and field[0] == CONTENT_LENGTH and self._remaining < 0 and field[1].isdigit():
                    line = b"content-length: " + field[1] + CRLF
                    self._remaining = int(field[1])
            except (AttributeError, TypeError, ValueError):
                # Only tuples of bytes can be looked up; other pairs, and other buffers, are as good.
                line = None
            if line is not None:
                lines.append(line)
            else:
                self._add_field(field)
        if status == 204 or status == 304 or self.is_head or not self.is_http11 or "trailers" in message:
            self._start_special(message)
        self.phase = HELD

    def _start_special(self, message: Message) -> None:
        """Notes what makes the body of this response other than plain."""
        self._is_plain = False
        self._bodyless = self.is_head or self.status in BODYLESS
        self._wants_trailers = "trailers" in message and message["trailers"]
        self._trails = self._chunked = self._wants_trailers and self._may_trail()
        if self.status == 204:
            # RFC 9110 section 8.6: a response without content has no content-length.
            self._lines = [without_field(CONTENT_LENGTH, line) for line in self._lines]

    def _may_trail(self) -> bool:
        """Whether this client takes trailers and the body is chunked for them (RFC 9110 sections 6.5.1 and 10.1.4)."""
        takes = any(
            coding.partition(b";")[0].strip(b"\t ") == b"trailers"
            for name, value in self.scope["headers"]
            if name == b"te"
            for coding in value.lower().split(b",")
        )
        return takes and self.is_http11 and not self._bodyless and self._remaining < 0

    def _add_field(self, field: Iterable[Any]) -> None:
        """Adds a field that is not known, or that means something to us."""
        own = name, value = own_field(field)
        if name.lower() in DECIDED_HERE:
            self._add_decided(name.lower(), value)
        else:
            self._lines.append(self.state.field_lines.learn(own))

    def _add_decided(self, name: bytes, value: bytes) -> None:
        if name == CONTENT_LENGTH:
            self._declare_length(value)
        elif name == CONNECTION:
            field_line(name, value)
            self.keep_alive = self.keep_alive and b"close" not in value.lower()
        elif name != TRANSFER_ENCODING:
            # The transfer coding is ours to choose (ASGI HTTP spec, "Response Start"); these replace what we would say.
            self._lines[1] = without_field(name, self._lines[1])
            self._lines.append(field_line(name, value))

    def _declare_length(self, value: bytes) -> None:
        is_first = self._remaining < 0
        self._remaining = length_of(value, self._remaining)
        if is_first:
            self._lines.append(b"content-length: %d\r\n" % self._remaining)

    def _send_whole(self, body: bytes) -> None:
        """Sends the most frequent response, all of it at once: this is `_send_part` with the rare cases left out."""
        lines = self._lines
        remaining = self._remaining
        if remaining < 0:
            lines.append(b"content-length: %d\r\n" % len(body))
        elif remaining != len(body):
            self._count(len(body), more=False)
        if self.keep_alive and not self.state.draining:
            lines.append(CRLF)
        else:
            self.keep_alive = False
            lines.append(CLOSE)
        lines.append(body)
        outlet = self.outlet
        outlet.write(b"".join(lines))
        self.phase = COMPLETE
        outlet.on_response_complete(self)

    def _send_part(self, body: bytes, *, more: bool) -> None:
        if self._remaining >= 0 and not self._bodyless:
            self._count(len(body), more)
        pieces: list[bytes] = []
        if self.phase == HELD:
            pieces = self._lines
            self._finish_head(len(body), more)
        if self._chunked:
            self._add_chunk(pieces, body, more)
        elif not self._bodyless:
            pieces.append(body)
        self._write(pieces, len(body))
        if more:
            self.phase = STREAMING
        elif self._trails:
            self.phase = TRAILING
        else:
            self._complete()

    def send_late_head(self) -> bool:
        """Asked again and again: sends a head alone that was held the last time too; returns whether one is held.

        Until its head comes, a client knows nothing of a stream whose first event may be long in coming.
        """
        if self.phase != HELD:
            return False
        if self._is_late:
            self._send_part(b"", more=True)
            self.phase = AHEAD
        self._is_late = True
        return True

    def _complete(self) -> None:
        self.phase = COMPLETE
        self.outlet.on_response_complete(self)

    def _count(self, size: int, more: bool) -> None:
        """Holds a body against its declared length, before any of it is written."""
        if size > self._remaining:
            raise RuntimeError("Response content longer than Content-Length")
        if not more and size < self._remaining:
            raise RuntimeError("Response content shorter than Content-Length")
        self._remaining -= size

    def _finish_head(self, size: int, more: bool) -> None:
        """Ends the head, now that it is known how the body is framed (RFC 9112 section 6.3).

        `size` is that of the body's first part, and `more` whether there are others.
        """
        lines = self._lines
        if self._chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        elif self._remaining < 0 and (size or not self._bodyless) and self.status not in BODYLESS:
            self._frame_undeclared(size, more)
        # A client that waits for 100 may or may not send its body after another answer: such a connection ends.
        if self.state.draining or self._expects_continue:
            self.keep_alive = False
        if not self.keep_alive:
            lines.append(CLOSE)
        elif not self.is_http11:
            lines.append(b"connection: keep-alive\r\n\r\n")
        else:
            lines.append(CRLF)

    def _frame_undeclared(self, size: int, more: bool) -> None:
        if not more:
            self._lines.append(b"content-length: %d\r\n" % size)
        elif self._bodyless:
            return
        elif self.is_http11:
            self._chunked = True
            self._lines.append(b"transfer-encoding: chunked\r\n")
        else:
            self.keep_alive = False

    def _add_chunk(self, pieces: list[bytes], body: bytes, more: bool) -> None:
        if body:
            pieces += (b"%x\r\n" % len(body), body, CRLF)
        if not more and not self._trails:
            pieces.append(b"0\r\n\r\n")

    def _write(self, pieces: list[bytes], size: int) -> None:
        """Writes pieces at once, except that a large body is not copied to join it."""
        if size <= LARGE_BODY:
            self.outlet.write(b"".join(pieces))
        else:
            for piece in pieces:
                self.outlet.write(piece)

    async def _send_to_nobody(self, message: Message) -> None:
        """Lets a message go whose client has gone: most applications complete their response and go on (ASGI HTTP spec
        2.3, "Disconnected Client").

        Raises `ClientDisconnected` where nothing else can end the application: it sends part after part of a body
        without a length, and does not hear of its client by `receive`.
        """
        kind = message["type"]
        if kind == "http.response.start":
            self._start(message)
            self.phase = GONE
        elif kind == "http.response.body" and message.get("more_body", False):
            # The first may be the whole of it: middlewares send such a body with an empty end behind.
            if self._let_go and self._remaining < 0 and self._is_deaf():
                raise ClientDisconnected("the client has disconnected")
            self._let_go += 1
            # Who cancels a stream is to meet it where it waits for its next part, which ends it: within `send`, it
            # would be left to the garbage collector.
            if self._let_go > LET_GO_AT_ONCE:
                await sleep(0)

    def _is_deaf(self) -> bool:
        """Whether the application can learn only by `send` that its client has gone."""
        return False

    def answer_error(self, text: bytes) -> None:
        """Answers 500 in place of what the application has, or has not, begun; nothing of that has been written."""
        self.keep_alive = False
        self._is_plain = True
        self._chunked = self._trails = False
        self._remaining = UNDECLARED
        self._start({"status": 500, "headers": [(b"content-type", b"text/plain; charset=utf-8")]})
        self._send_part(text, more=False)

    async def _send_extension(self, kind: str, message: Message) -> None:
        if kind == "http.response.trailers" and self.phase == TRAILING:
            self._send_trailers(message)
        elif kind == "http.response.pathsend" and not self.state.pathsend:
            raise RuntimeError(f"{kind!r} was sent, which is only for servers that offer it: see --pathsend.")
        elif kind == "http.response.pathsend" and (self.phase == HELD or self.phase == AHEAD):
            await self._send_path(message["path"])
        elif kind == "http.response.early_hint":
            self._send_early_hint(message["links"])
        elif kind == "http.response.trailers" and self.phase == COMPLETE and self._wants_trailers:
            # There was no place for them, which the application need not know.
            return
        else:
            raise RuntimeError(f"Unexpected ASGI message {kind!r} sent, {WHEN[self.phase]}.")

    def _send_trailers(self, message: Message) -> None:
        """ASGI extension `http.response.trailers`, RFC 9112 section 7.1.2."""
        self._trailers += field_lines(message.get("headers", ()))
        if not message.get("more_trailers", False):
            self.outlet.write(b"".join((b"0\r\n", self._trailers, CRLF)))
            self._complete()

    def _send_early_hint(self, links: Iterable[Any]) -> None:
        """ASGI extension `http.response.early_hint`, RFC 8297.

        A hint is let go where it comes too late, and for HTTP/1.0, which knows no informational responses.
        """
        lines = field_lines((b"link", link) for link in links)
        if self.is_http11 and self.phase <= HELD:
            self.outlet.write(b"".join((b"HTTP/1.1 103 Early Hints\r\n", lines, CRLF)))

    async def _send_path(self, path: str) -> None:
        """ASGI extension `http.response.pathsend`: the file is the whole body."""
        file, size = await open_regular(self.state.loop, path)
        with file:
            try:
                await self._send_file(file, 0, size)
            except ClientDisconnected:
                self.phase = GONE

    async def _send_file(self, file: BinaryIO, offset: int, size: int) -> None:
        """Sends the whole body, `size` bytes of a file from `offset` on. Raises `ClientDisconnected`."""
        if self.phase == GONE or self.outlet.transport.is_closing():
            raise ClientDisconnected("the client has disconnected")
        self._begin_file(size)
        if size and not self._bodyless:
            await send_file(self.state.loop, self.outlet, file, offset, size)
            if self._chunked:
                self.outlet.write(CRLF)
        self._send_part(b"", more=False)

    def _begin_file(self, size: int) -> None:
        if self._remaining >= 0 and not self._bodyless:
            self._count(size, more=False)
        if self.phase == HELD:
            self._send_head_of_file(size)
        elif self._chunked and size:
            self.outlet.write(b"%x\r\n" % size)
        self.phase = STREAMING

    def _send_head_of_file(self, size: int) -> None:
        if self._remaining < 0:
            self._lines.append(b"content-length: %d\r\n" % size)
        self._remaining = 0
        self._trails = self._chunked = False
        self._finish_head(0, more=False)
        self._write(self._lines, 0)


def own_body(body: Any) -> bytes:
    """A part of the body as bytes that nobody else can change while they wait for the client. Raises `TypeError`."""
    try:
        return own_bytes(body)
    except TypeError:
        raise TypeError(f"the body of a response is bytes, not {reprlib.repr(body)}") from None
