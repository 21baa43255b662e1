"""Whole messages cut out of what a client sends, and the frames of a server's own (RFC 6455 section 5).

Runs on the connection's loop thread; a buffer belongs to one connection, and never judges: what is no whole message in
one good frame it leaves where it is. `codec.pyx` is the same compiled, and is imported instead where it has been.
"""

import struct

from threadserve.websocket.heads import (
    EIGHT_BYTES,
    MASKED,
    MAX_SHORT,
    MAX_UINT16,
    TWO_BYTES,
    WHOLE_BINARY,
    WHOLE_TEXT,
)
from threadserve.websocket.masking import LARGE, Unmask


class FrameBuffer:
    """What has arrived of a client's frames and is not taken up.

    `pending` says that there is something to look at: bytes, and no more are known to be missing of the frame that has
    begun. `unmask` is what this form takes masks off large payloads with; the compiled one does that itself.
    """

    __slots__ = ("_data", "_from_bytes", "_limit", "_missing", "_position", "_unmask", "pending")

    def __init__(self, limit: int, unmask: Unmask) -> None:
        self._limit = limit
        self._unmask = unmask
        # One for all would count the references of all threads.
        self._from_bytes = int.from_bytes
        self._data: bytes | bytearray = b""
        self._position = 0
        self._missing = 0
        self.pending = False

    def feed(self, data: bytes) -> None:
        """Takes what has arrived, without a copy where nothing was left of what came before."""
        kept = self._data
        if not kept:
            self._data = data
            self.pending = True
            return
        if isinstance(kept, bytearray):
            del kept[: self._position]
        else:
            kept = bytearray(memoryview(kept)[self._position :])
        kept += data
        self._data = kept
        self._position = 0
        self._missing -= len(data)
        self.pending = self._missing <= 0

    def is_empty(self) -> bool:
        """Whether all that has arrived is taken up."""
        return not self._data

    def take_message(self) -> str | bytes | None:
        """Takes the next frame's payload if that is a text or binary message by itself, within the limit.

        Returns None where it is none, or is not complete. Raises `UnicodeDecodeError`.
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
        if length < LARGE:
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
        """The next bytes, so many or as many as there are."""
        return bytes(self._data[self._position : self._position + size])

    def require(self, size: int) -> bool:
        """Whether the next frame, so many bytes long, is complete."""
        self._missing = self._position + size - len(self._data)
        self.pending = self._missing <= 0
        return self.pending

    def take_payload(self, start: int, length: int) -> bytes:
        """Takes the next frame, whose payload begins behind `start` bytes. Returns that without its mask."""
        begin = self._position + start
        end = begin + length
        payload = bytes(self._unmask(self._data, begin, end))
        self._position = end
        if end == len(self._data):
            self._data = b""
            self._position = 0
            self.pending = False
        return payload


def frame_head(first: int, size: int) -> bytes:
    """The head of a frame from the server: its first byte, and the length of its payload."""
    if size <= MAX_SHORT:
        return bytes((first, size))
    if size <= MAX_UINT16:
        return struct.pack("!BBH", first, TWO_BYTES, size)
    return struct.pack("!BBQ", first, EIGHT_BYTES, size)


def server_frame(first: int, payload: bytes) -> bytes:
    """A frame from the server that begins with the byte `first`."""
    return frame_head(first, len(payload)) + payload


def text_frame(text: str) -> bytes:
    """A frame from the server that is a text message. Raises `UnicodeEncodeError`."""
    payload = text.encode()
    size = len(payload)
    return (bytes((WHOLE_TEXT, size)) if size <= MAX_SHORT else frame_head(WHOLE_TEXT, size)) + payload
