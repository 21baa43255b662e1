"""What a client sends, frame by frame, made into messages (RFC 6455 section 5).

Runs on the connection's loop thread. A `FrameReader` belongs to one connection and owns the bytes that have arrived and
are not taken up yet; it never writes. wsproto judges the frames, all but the most frequent kind: one that is a whole
message by itself is decoded at once.
"""

import sys
from io import BytesIO, StringIO
from typing import NamedTuple

from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed

from threadserve.websocket.codec import FrameBuffer, server_frame
from threadserve.websocket.deflate import BoundedDeflate, too_big
from threadserve.websocket.heads import (
    CLOSE,
    COMPRESSED,
    CONTROL,
    FINAL,
    LONGEST,
    MAX_SHORT,
    PACKED_BINARY,
    PACKED_TEXT,
    read_head,
)
from threadserve.websocket.masking import Unmask

# Deflate makes what cannot be compressed a little longer: the length of the frame alone does not show it yet.
DEFLATE_SLACK = 1024


class Ping(NamedTuple):
    """A ping has arrived."""

    payload: bytes


class Pong(NamedTuple):
    """A pong has arrived."""

    payload: bytes


class Close(NamedTuple):
    """A close frame has arrived, the last frame that counts."""

    code: int
    reason: str


# Messages come as their contents.
Event = str | bytes | Ping | Pong | Close


class FrameReader:
    """The frames of a client, in order, as far as its connection asks for them.

    Bytes may be fed at any time; none is looked at before the connection asks for the next event.
    """

    __slots__ = ("_buffer", "_compressed", "_deflate", "_frames", "_limit", "_parts", "_size")

    def __init__(self, limit: int, unmask: Unmask) -> None:
        # No length exceeds what the size of an object can be.
        self._limit = min(limit, sys.maxsize // 2)
        self._buffer = FrameBuffer(self._limit, unmask)
        self._deflate: BoundedDeflate | None = None
        self._frames: FrameProtocol | None = None
        self._parts: StringIO | BytesIO | None = None
        self._compressed = False
        self._size = 0

    def allow_deflate(self, deflate: BoundedDeflate) -> None:
        """Messages may be compressed; comes before the first event is asked for."""
        self._deflate = deflate

    def feed(self, data: bytes) -> None:
        """Takes bytes that have arrived."""
        self._buffer.feed(data)

    @property
    def is_amid_frame(self) -> bool:
        """Whether bytes have arrived that are not taken up."""
        return not self._buffer.is_empty()

    def next_event(self) -> Event | None:
        """The next message or control frame; None while that is incomplete. Raises `ParseFailed`."""
        buffer = self._buffer
        if not buffer.pending:
            return None
        if self._parts is None:
            try:
                message = buffer.take_message()
            except UnicodeDecodeError as error:
                raise not_utf8(error) from None
            if message is not None:
                return message
        return self._read_on() if buffer.pending else None

    def _read_on(self) -> Event | None:
        """Reads frames of every other kind, until one completes something."""
        buffer = self._buffer
        event: Event | None = None
        while event is None:
            head = read_head(buffer.peek(LONGEST))
            if head is None:
                return None
            first, start, length = head
            self._check_length(first, length)
            if not buffer.require(start + length):
                return None
            if (first == PACKED_TEXT or first == PACKED_BINARY) and self._parts is None and self._deflate is not None:
                return self._inflated(self._deflate, first, buffer.take_payload(start, length))
            event = self._judged(first, buffer.take_payload(start, length))
        return event

    def _check_length(self, first: int, length: int) -> None:
        """Refuses a frame that is too long before it is kept."""
        limit = self._limit
        if self._compressed if self._parts is not None else first & COMPRESSED:
            limit += limit // 1000 + DEFLATE_SLACK
        if not first & CONTROL and self._size + length > limit:
            raise too_big(self._limit)

    def _inflated(self, deflate: BoundedDeflate, first: int, payload: bytes) -> str | bytes:
        """The compressed message that is in one frame."""
        content = deflate.inflate_message(payload)
        if first == PACKED_BINARY:
            return content
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise not_utf8(error) from None

    def _judged(self, first: int, payload: bytes) -> Event | None:
        """Has wsproto judge a whole frame. Returns what that completes.

        It gets the frame without the mask, as it is used to by servers, so it is told to be a client.
        """
        frames = self._frames
        if frames is None:
            frames = self._frames = FrameProtocol(True, [] if self._deflate is None else [self._deflate])
        if not first & CONTROL:
            if self._parts is None:
                self._compressed = bool(first & COMPRESSED)
            self._size += len(payload)
        frames.receive_bytes(server_frame(first, payload))
        event: Event | None = None
        for frame in frames.received_frames():
            event = self._completed(frame)
        return event

    def _completed(self, frame: Frame) -> Event | None:
        opcode, payload = frame.opcode, frame.payload
        if isinstance(payload, tuple):
            return Close(int(payload[0]), payload[1])
        if opcode is Opcode.PING and isinstance(payload, bytes):
            return Ping(payload)
        if opcode is Opcode.PONG and isinstance(payload, bytes):
            return Pong(payload)
        self._collect(payload)
        return self._end_message() if frame.message_finished else None

    def _collect(self, part: str | bytes) -> None:
        """Puts a message together, part by part."""
        parts = self._parts
        if isinstance(part, str):
            texts = parts if isinstance(parts, StringIO) else StringIO()
            texts.write(part)
            self._parts = texts
        else:
            chunks = parts if isinstance(parts, BytesIO) else BytesIO()
            chunks.write(part)
            self._parts = chunks

    def _end_message(self) -> str | bytes:
        parts, self._parts = self._parts, None
        self._size = 0
        return parts.getvalue() if parts is not None else b""


def not_utf8(error: UnicodeDecodeError) -> ParseFailed:
    """The fault of a text that is not UTF-8 (RFC 6455 section 8.1)."""
    return ParseFailed(f"invalid UTF-8: {error.reason}", CloseReason.INVALID_FRAME_PAYLOAD_DATA)


def close_frame(code: int | None, reason: str) -> bytes:
    """The server's close frame, with as much of the reason as it can have (RFC 6455 section 5.5.1)."""
    if code is None:
        return server_frame(FINAL | CLOSE, b"")
    shortened = reason.encode()[: MAX_SHORT - 2].decode(errors="ignore")
    return server_frame(FINAL | CLOSE, code.to_bytes(2, "big") + shortened.encode())
