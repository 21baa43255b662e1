"""The reader of messages: parses a client's frames, and joins those of a message (RFC 6455 section 5).

Runs on the connection's loop thread. A `MessageReader` belongs to one connection, and owns the received bytes that have
not been processed. It never writes. wsproto parses the frames, except the most frequent kind: a whole message in one
frame is decoded at once.
"""

import sys
from io import BytesIO, StringIO
from typing import NamedTuple

from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed

from threadserve.websocket.codec import FrameBuffer, encode_frame
from threadserve.websocket.deflate import BoundedDeflate, message_too_big
from threadserve.websocket.frame_heads import (
    CLOSE,
    COMPRESSED,
    COMPRESSED_BINARY,
    COMPRESSED_TEXT,
    CONTROL,
    FINAL,
    MAX_HEAD_BYTES,
    MAX_SHORT,
    parse_frame_head,
)
from threadserve.websocket.masking import Unmask

# Deflate makes incompressible data a little longer, so the frame's length alone may be above the limit.
DEFLATE_SLACK = 1024


class Ping(NamedTuple):
    """A received ping."""

    payload: bytes


class Pong(NamedTuple):
    """A received pong."""

    payload: bytes


class Close(NamedTuple):
    """A received close frame, the last frame that is read."""

    code: int
    reason: str


# Messages are represented by their contents.
Event = str | bytes | Ping | Pong | Close


class MessageReader:
    """The events of a client's frames, in order, as its connection asks for them.

    Bytes may be added at any time; they are parsed when the connection asks for the next event.
    """

    __slots__ = ("_buffer", "_compressed", "_deflate", "_fragments", "_frames", "_limit", "_size")

    def __init__(self, limit: int, unmask: Unmask) -> None:
        # No length may exceed the largest size of an object.
        self._limit = min(limit, sys.maxsize // 2)
        self._buffer = FrameBuffer(self._limit, unmask)
        self._deflate: BoundedDeflate | None = None
        self._frames: FrameProtocol | None = None
        self._fragments: StringIO | BytesIO | None = None
        self._compressed = False
        self._size = 0

    def allow_deflate(self, deflate: BoundedDeflate) -> None:
        """Allow compressed messages. Called before the first event is asked for."""
        self._deflate = deflate

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer.feed(data)

    @property
    def is_amid_frame(self) -> bool:
        """True if bytes have arrived that are not processed."""
        return not self._buffer.is_empty()

    def next_event(self) -> Event | None:
        """Return the next message or control frame, or None while it is incomplete. Raises `ParseFailed`."""
        buffer = self._buffer
        if not buffer.pending:
            return None
        if self._fragments is None:
            try:
                message = buffer.take_message()
            except UnicodeDecodeError as error:
                raise invalid_utf8(error) from None
            if message is not None:
                return message
        return self._next_parsed_event() if buffer.pending else None

    def _next_parsed_event(self) -> Event | None:
        """Parse frames of all other kinds, until one completes an event."""
        buffer = self._buffer
        event: Event | None = None
        while event is None:
            head = parse_frame_head(buffer.peek(MAX_HEAD_BYTES))
            if head is None:
                return None
            first, start, length = head
            self._check_length(first, length)
            if not buffer.require(start + length):
                return None
            if (
                (first == COMPRESSED_TEXT or first == COMPRESSED_BINARY)
                and self._fragments is None
                and self._deflate is not None
            ):
                return self._inflate_message(self._deflate, first, buffer.take_payload(start, length))
            event = self._parse_frame(first, buffer.take_payload(start, length))
        return event

    def _check_length(self, first: int, length: int) -> None:
        """Raise `ParseFailed` for a frame that is too long, before it is buffered."""
        limit = self._limit
        if self._compressed if self._fragments is not None else first & COMPRESSED:
            limit += limit // 1000 + DEFLATE_SLACK
        if not first & CONTROL and self._size + length > limit:
            raise message_too_big(self._limit)

    def _inflate_message(self, deflate: BoundedDeflate, first: int, payload: bytes) -> str | bytes:
        """Return the content of a compressed message in one frame."""
        content = deflate.inflate_message(payload)
        if first == COMPRESSED_BINARY:
            return content
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise invalid_utf8(error) from None

    def _parse_frame(self, first: int, payload: bytes) -> Event | None:
        """Parse a whole frame by wsproto, and return the event that it completes.

        The frame has no mask, as if it were a server's, so wsproto acts as a client.
        """
        frames = self._frames
        if frames is None:
            frames = self._frames = FrameProtocol(True, [] if self._deflate is None else [self._deflate])
        if not first & CONTROL:
            if self._fragments is None:
                self._compressed = bool(first & COMPRESSED)
            self._size += len(payload)
        frames.receive_bytes(encode_frame(first, payload))
        event: Event | None = None
        for frame in frames.received_frames():
            event = self._to_event(frame)
        return event

    def _to_event(self, frame: Frame) -> Event | None:
        opcode, payload = frame.opcode, frame.payload
        if isinstance(payload, tuple):
            return Close(int(payload[0]), payload[1])
        if opcode is Opcode.PING and isinstance(payload, bytes):
            return Ping(payload)
        if opcode is Opcode.PONG and isinstance(payload, bytes):
            return Pong(payload)
        self._add_fragment(payload)
        return self._end_message() if frame.message_finished else None

    def _add_fragment(self, fragment: str | bytes) -> None:
        """Add a part of a message."""
        fragments = self._fragments
        if isinstance(fragment, str):
            texts = fragments if isinstance(fragments, StringIO) else StringIO()
            texts.write(fragment)
            self._fragments = texts
        else:
            chunks = fragments if isinstance(fragments, BytesIO) else BytesIO()
            chunks.write(fragment)
            self._fragments = chunks

    def _end_message(self) -> str | bytes:
        fragments, self._fragments = self._fragments, None
        self._size = 0
        return fragments.getvalue() if fragments is not None else b""


def invalid_utf8(error: UnicodeDecodeError) -> ParseFailed:
    """Return the error for a text that is not UTF-8 (RFC 6455 section 8.1)."""
    return ParseFailed(f"invalid UTF-8: {error.reason}", CloseReason.INVALID_FRAME_PAYLOAD_DATA)


def encode_close_frame(code: int | None, reason: str) -> bytes:
    """Return the server's close frame, with the reason cut to the allowed length (RFC 6455 section 5.5.1)."""
    if code is None:
        return encode_frame(FINAL | CLOSE, b"")
    shortened = reason.encode()[: MAX_SHORT - 2].decode(errors="ignore")
    return encode_frame(FINAL | CLOSE, code.to_bytes(2, "big") + shortened.encode())
