"""The head of a frame: its bits, and the faults that it shows by itself (RFC 6455 section 5.2)."""

from wsproto.frame_protocol import ParseFailed

# The first byte: the last of a message's frames, compressed, and what kind of frame it is.
FINAL = 0x80
COMPRESSED = 0x40
CONTROL = 0x08
TEXT = 0x01
BINARY = 0x02
CLOSE = 0x08
PING = 0x09
PONG = 0x0A
WHOLE_TEXT = FINAL | TEXT
WHOLE_BINARY = FINAL | BINARY
PACKED_TEXT = WHOLE_TEXT | COMPRESSED
PACKED_BINARY = WHOLE_BINARY | COMPRESSED

# The second byte: masked, and the length, or how many bytes it takes.
MASKED = 0x80
MAX_SHORT = 125
TWO_BYTES = 126
EIGHT_BYTES = 127
MAX_UINT16 = 0xFFFF

# A masked frame's head takes no more.
LONGEST = 14


def read_head(data: bytes) -> tuple[int, int, int] | None:
    """The first byte of a client's frame, how long its head is and how long its payload.

    None as long as the head is incomplete. Raises `ParseFailed` at the first byte that shows a fault.
    """
    if len(data) < 2:
        return None
    first, second = data[0], data[1]
    if not second & MASKED:
        raise ParseFailed("a frame is not masked")
    length = second & ~MASKED
    if length <= MAX_SHORT:
        return (first, 6, length) if len(data) >= 6 else None
    if first & CONTROL:
        raise ParseFailed(f"a control frame is longer than {MAX_SHORT} bytes")
    size = 8 if length == TWO_BYTES else 14
    if len(data) < size:
        return None
    shortest = TWO_BYTES if length == TWO_BYTES else MAX_UINT16 + 1
    length = int.from_bytes(data[2 : size - 4], "big")
    if length < shortest:
        raise ParseFailed("the length of a frame is written in more bytes than it needs")
    return first, size, length
