"""The decoding of whole messages, and the encoding of the server's frames (RFC 6455 section 5).

Runs on the connection's loop thread. A buffer belongs to one connection. It takes only a whole message in one valid
frame, and leaves anything else in place. `codec.pyx` is the compiled form, imported instead where it has been built.
"""

import struct

from threadserve.websocket.frame_heads import (
    EIGHT_BYTES,
    MASKED,
    MAX_SHORT,
    MAX_UINT16,
    TWO_BYTES,
    WHOLE_BINARY,
    WHOLE_TEXT,
)
from threadserve.websocket.masking import MIN_TABLE_BYTES, Unmask


class FrameBuffer:
    """The received bytes of a client's frames that have not been taken.

    `pending` is False while the buffer is empty, or lacks bytes of the frame that has begun. `unmask` unmasks large
    payloads in this form; the compiled form does that itself.
    """

    __slots__ = ("_data", "_from_bytes", "_limit", "_missing", "_position", "_unmask", "pending")

    def __init__(self, limit: int, unmask: Unmask) -> None:
        self._limit = limit
        self._unmask = unmask
        # A bound method for each buffer: threads would contend for the reference count of a shared one.
        self._from_bytes = int.from_bytes
        self._data: bytes | bytearray = b""
        self._position = 0
        self._missing = 0
        self.pending = False

    def feed(self, data: bytes) -> None:
        """Add received bytes, without a copy if the buffer is empty."""
        unread = self._data
        if not unread:
            self._data = data
            self.pending = True
            return
        if isinstance(unread, bytearray):
            del unread[: self._position]
        else:
            unread = bytearray(memoryview(unread)[self._position :])
        unread += data
        self._data = unread
        self._position = 0
        self._missing -= len(data)
        self.pending = self._missing <= 0

    def is_empty(self) -> bool:
        """Return whether no bytes are left."""
        return not self._data

    def take_message(self) -> str | bytes | None:
        """Take the next frame's payload, if the frame is a whole text or binary message within the limit.

        Returns None if it is not, or is not complete. Raises `UnicodeDecodeError`.
        """
        data, position = self._data, self._position
        size = len(data)
        if position + 6 > size:
            return None
        first = data[position]
        if first != WHOLE_TEXT and first != WHOLE_BINARY:
            return None
        length = data[position + 1] - MASKED
        start = position + 6
        if length > MAX_SHORT:
            start = position + (8 if length == TWO_BYTES else 14)
            shortest = TWO_BYTES if length == TWO_BYTES else MAX_UINT16 + 1
            length = int.from_bytes(data[position + 2 : start - 4], "big")
            if start > size or length < shortest:
                return None
        if not 0 <= length <= self._limit:
            return None
        end = start + length
        if end > size:
            self._missing = end - size
            self.pending = False
            return None
        payload: bytes | bytearray
        if length < MIN_TABLE_BYTES:
            from_bytes = self._from_bytes
            mask = (data[start - 4 : start] * (length // 4 + 1))[:length]
            unmasked = from_bytes(data[start:end], "little") ^ from_bytes(mask, "little")
            payload = unmasked.to_bytes(length, "little")
        else:
            payload = self._unmask(data, start, end)
        if end == size:
            self._data = b""
            self._position = 0
            self.pending = False
        else:
            self._position = end
        return payload.decode() if first == WHOLE_TEXT else bytes(payload)

    def peek(self, size: int) -> bytes:
        """Return the next `size` bytes, or as many as there are."""
        return bytes(self._data[self._position : self._position + size])

    def require(self, size: int) -> bool:
        """Return whether the next frame, of `size` bytes, is complete."""
        self._missing = self._position + size - len(self._data)
        self.pending = self._missing <= 0
        return self.pending

    def take_payload(self, start: int, length: int) -> bytes:
        """Take the next frame, and return its payload, which begins after `start` bytes, unmasked."""
        begin = self._position + start
        end = begin + length
        payload = bytes(self._unmask(self._data, begin, end))
        self._position = end
        if end == len(self._data):
            self._data = b""
            self._position = 0
            self.pending = False
        return payload


def encode_frame_head(first: int, size: int) -> bytes:
    """Return the head of a server's frame: its first byte, and the length of its payload."""
    if size <= MAX_SHORT:
        return bytes((first, size))
    if size <= MAX_UINT16:
        return struct.pack("!BBH", first, TWO_BYTES, size)
    return struct.pack("!BBQ", first, EIGHT_BYTES, size)


def encode_frame(first: int, payload: bytes) -> bytes:
    """Return a server's frame that begins with the byte `first`."""
    return encode_frame_head(first, len(payload)) + payload


def encode_text_frame(text: str) -> bytes:
    """Return a server's frame with a text message. Raises `UnicodeEncodeError`."""
    payload = text.encode()
    size = len(payload)
    return (bytes((WHOLE_TEXT, size)) if size <= MAX_SHORT else encode_frame_head(WHOLE_TEXT, size)) + payload
