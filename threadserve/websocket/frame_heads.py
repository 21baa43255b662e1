"""The head of a frame: its bits, and the errors that it shows by itself (RFC 6455 section 5.2)."""

from wsproto.frame_protocol import Opcode, ParseFailed

# The first byte: the flags of a message's last frame and of compression, and the opcode.
FINAL = 0x80
COMPRESSED = 0x40
CONTROL = 0x08
TEXT = Opcode.TEXT.value
BINARY = Opcode.BINARY.value
CLOSE = Opcode.CLOSE.value
PING = Opcode.PING.value
PONG = Opcode.PONG.value
WHOLE_TEXT = FINAL | TEXT
WHOLE_BINARY = FINAL | BINARY
COMPRESSED_TEXT = WHOLE_TEXT | COMPRESSED
COMPRESSED_BINARY = WHOLE_BINARY | COMPRESSED

# The second byte: the mask flag, and the length, or the number of bytes that it takes.
MASKED = 0x80
MAX_SHORT = 125
TWO_BYTES = 126
EIGHT_BYTES = 127
MAX_UINT16 = 0xFFFF

# The longest head of a masked frame.
MAX_HEAD_BYTES = 14


def parse_frame_head(data: bytes) -> tuple[int, int, int] | None:
    """Return the first byte of a client's frame, the size of its head, and the size of its payload.

    Returns None while the head is incomplete. Raises `ParseFailed` at the first byte that is wrong.
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
