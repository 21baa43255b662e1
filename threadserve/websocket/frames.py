"""Frames on their way in and out (RFC 6455 section 5).

Runs on the connection's loop thread. A `FrameReader` owns the bytes that have arrived and are not taken up yet; it
never writes. wsproto judges the frames, all but the most frequent kind: what arrives is cut into whole frames here, and
one that is a whole message by itself is decoded at once.
"""

import struct
from io import BytesIO, StringIO

from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed

from threadserve.http.flow import FlowControl
from threadserve.types import Message
from threadserve.websocket.deflate import BoundedDeflate, too_big
from threadserve.websocket.masking import Unmask

WHOLE_TEXT = 0x81
WHOLE_BINARY = 0x82
COMPRESSED = 0x40
CONTROL = 0x08
MASKED = 0x80
SHORT = 126
LONG = 127
MAX_UINT16 = 0xFFFF

# Deflate makes what cannot be compressed a little longer: the length of the frame alone does not show it yet.
DEFLATE_SLACK = 1024


class FrameReader(FlowControl):
    """What a client sends, made into messages. `on_*` are called in the order of the frames."""

    __slots__ = ("_compressed", "_frames", "_kept", "_limit", "_needed", "_parts", "_size", "_unmask")

    _frames: FrameProtocol

    def __init__(self, limit: int, unmask: Unmask) -> None:
        super().__init__()
        self._limit = limit
        self._unmask = unmask
        self._kept = bytearray()
        self._needed = 0
        self._parts: StringIO | BytesIO | None = None
        self._compressed = False
        self._size = 0

    def start_frames(self, deflate: BoundedDeflate | None) -> None:
        """The handshake is over: frames follow."""
        self._frames = FrameProtocol(False, [] if deflate is None else [deflate])

    # What becomes of the frames.

    def on_message(self, message: Message) -> bool:
        """A whole message has arrived. Returns whether the next one may be taken up."""
        raise NotImplementedError

    def on_ping(self, payload: bytes) -> None:
        """A ping has arrived."""
        raise NotImplementedError

    def on_pong(self, payload: bytes) -> None:
        """A pong has arrived."""
        raise NotImplementedError

    def on_close(self, code: int, reason: str) -> None:
        """A close frame has arrived, the last frame that counts."""
        raise NotImplementedError

    # Reading.

    def keep(self, data: bytes) -> None:
        """Keeps bytes whose turn has not come."""
        self._kept += data

    @property
    def is_amid_frame(self) -> bool:
        """Whether bytes have arrived that are not taken up."""
        return bool(self._kept)

    def read(self, data: bytes | bytearray) -> None:
        """Takes up as many frames as are whole and wanted, and keeps the rest. Raises `ParseFailed`.

        Every message comes this way: what is rare is left to others.
        """
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return
            data = self._kept
            self._kept = bytearray()
        frames = self._frames
        position, size = 0, len(data)
        self._needed = 0
        goes_on = True
        while goes_on and position + 1 < size:
            length = data[position + 1] - MASKED
            start = position + 6
            if not 0 <= length < SHORT:
                start, length = self._read_length(data, position)
            end = start + length
            if end > size:
                self._expect(data[position], length, end - position)
                break
            first = data[position]
            if first == WHOLE_TEXT and self._parts is None and length <= self._limit:
                text = decode(self._unmask(data, start, end))
                goes_on = self.on_message({"type": "websocket.receive", "text": text})
            elif first == WHOLE_BINARY and self._parts is None and length <= self._limit:
                content = bytes(self._unmask(data, start, end))
                goes_on = self.on_message({"type": "websocket.receive", "bytes": content})
            else:
                self._expect(first, length, 0)
                goes_on = self._read_frame(frames, data[position:end], length)
            position = end
        if position < size:
            self._kept += data[position:]

    def _read_length(self, data: bytes | bytearray, position: int) -> tuple[int, int]:
        """Where the payload of a frame begins that has a longer length, and that length; faults of the head go first.

        As long as the head is incomplete, that is behind the end of the data.
        """
        second = data[position + 1]
        if not second & MASKED:
            raise ParseFailed("a frame is not masked")
        if data[position] & CONTROL:
            raise ParseFailed("a control frame is longer than 125 bytes")
        is_short = second == MASKED | SHORT
        start = position + (8 if is_short else 14)
        if start > len(data):
            return start, 0
        length = int.from_bytes(data[position + 2 : start - 4], "big")
        if length < SHORT or (not is_short and length <= MAX_UINT16):
            raise ParseFailed("the length of a frame is written in more bytes than it needs")
        return start, length

    def _expect(self, first: int, length: int, needed: int) -> None:
        """A frame with this head is, or will be, `needed` bytes long: refuses it before it is kept."""
        limit = self._limit
        if self._compressed if self._parts is not None else first & COMPRESSED:
            limit += limit // 1000 + DEFLATE_SLACK
        if not first & CONTROL and self._size + length > limit:
            raise too_big(self._limit)
        self._needed = needed

    def _read_frame(self, frames: FrameProtocol, data: bytes | bytearray, length: int) -> bool:
        """Has wsproto judge a whole frame, and takes it up. Returns whether the next one may be."""
        if not data[0] & CONTROL:
            if self._parts is None:
                self._compressed = bool(data[0] & COMPRESSED)
            self._size += length
        frames.receive_bytes(bytes(data))
        goes_on = True
        for frame in frames.received_frames():
            goes_on = self._take(frame)
        return goes_on

    def _take(self, frame: Frame) -> bool:
        opcode, payload = frame.opcode, frame.payload
        if isinstance(payload, tuple):
            self.on_close(int(payload[0]), payload[1])
            return False
        if opcode is Opcode.PING and isinstance(payload, bytes):
            self.on_ping(payload)
        elif opcode is Opcode.PONG and isinstance(payload, bytes):
            self.on_pong(payload)
        else:
            return self._collect(payload, is_last=frame.message_finished)
        return True

    def _collect(self, part: str | bytes, *, is_last: bool) -> bool:
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
        return self._end_message() if is_last else True

    def _end_message(self) -> bool:
        parts, self._parts = self._parts, None
        self._size = 0
        if isinstance(parts, StringIO):
            return self.on_message({"type": "websocket.receive", "text": parts.getvalue()})
        return self.on_message({"type": "websocket.receive", "bytes": parts.getvalue() if parts else b""})


def decode(payload: bytes | bytearray) -> str:
    """The text of a message. Raises `ParseFailed` where it is not UTF-8 (RFC 6455 section 8.1)."""
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise ParseFailed(f"invalid UTF-8: {error.reason}", CloseReason.INVALID_FRAME_PAYLOAD_DATA) from None


def head_of(first: int, size: int) -> bytes:
    """The head of a frame from the server: its first byte, and the length of its payload (RFC 6455 section 5.2)."""
    if size < SHORT:
        return bytes((first, size))
    if size <= MAX_UINT16:
        return struct.pack("!BBH", first, SHORT, size)
    return struct.pack("!BBQ", first, LONG, size)
