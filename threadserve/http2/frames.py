"""What arrives on a connection, cut into whole frames and counted before anything else is paid for them.

A reader belongs to one connection, on its loop's thread. It owns the bytes that have arrived and are not taken up; it
knows a frame by its first nine bytes (RFC 9113 section 4.1), and leaves what is in it to the library.
"""

import struct

from h2.errors import ErrorCodes

from threadserve.http2.budgets import Budget
from threadserve.http2.errors import ConnectionFault
from threadserve.http2.stream import H2Stream

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_SIZE = 9
# The length in three bytes, the type, the flags, and the stream's number.
HEAD = struct.Struct(">HBBBL")
SETTING = struct.Struct(">HL")
HEADER_TABLE_SIZE = 0x1
# The largest that we take (SETTINGS_MAX_FRAME_SIZE), which is the smallest that may be said.
MAX_FRAME_SIZE = 16384
# A SETTINGS frame has six bytes for each; fewer than ten are defined.
MAX_SETTINGS_SIZE = 32 * 6
# A head of the size that is allowed takes five frames of the usual size.
MAX_BLOCK_FRAMES = 32

# Types of frames (RFC 9113 section 6, RFC 9218 section 7.1).
DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9
PRIORITY_UPDATE = 0x10

# Flags.
ACK = 0x1
END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8


class FrameReader:
    """Hands out whole frames, a few at a time.

    `pending` says that there may be more. Of the frames that were taken last, `priorities` are the streams whose
    priority the client has changed, each with the new one, `dropped` is how many bytes it has sent on streams that are
    over, which it is to get window back for, and `table_size` the smallest table for the compression that it has asked
    for, or -1. `peer_leaves` says that it has announced to open no further stream.
    """

    __slots__ = (
        "_block_bytes",
        "_block_frames",
        "_block_limit",
        "_block_stream",
        "_control",
        "_data",
        "_is_begun",
        "_latest",
        "_new",
        "_open",
        "_position",
        "_reset_budget",
        "dropped",
        "peer_leaves",
        "pending",
        "priorities",
        "table_size",
    )

    def __init__(self, block_limit: int, open_streams: dict[int, H2Stream], control: Budget, resets: Budget) -> None:
        self._open = open_streams
        # The latest stream that the client has opened, and those that it has opened since frames were taken before.
        self._latest = 0
        self._new: list[int] = []
        self._block_limit = block_limit
        self._control = control
        self._reset_budget = resets
        self._data = b""
        self._position = 0
        self._is_begun = False
        self._block_stream = 0
        self._block_bytes = 0
        self._block_frames = 0
        self.pending = False
        self.peer_leaves = False
        self.table_size = -1
        self.dropped = 0
        self.priorities: list[tuple[int, bytes]] = []

    @property
    def awaits_block(self) -> bool:
        """Whether the rest of a request's head is to come."""
        return self._block_stream != 0

    def feed(self, data: bytes) -> None:
        """Takes bytes that have arrived."""
        position = self._position
        if position < len(self._data):
            data = self._data[position:] + data
        self._data = data
        self._position = 0
        self.pending = True

    def discard(self) -> None:
        """Forgets everything; nothing more is expected."""
        self._data = b""
        self._position = 0
        self.pending = False

    def take(self, count: int) -> bytes:
        """The next whole frames, `count` at most, less those that are for nobody else.

        Raises `ConnectionFault` where a frame may not come here, or one too many of its kind has.
        """
        data = self._data
        size = len(data)
        start = position = self._position
        pieces: list[bytes] = []
        self.priorities = []
        self._new = []
        self.dropped = 0
        self.table_size = -1
        self.pending = False
        if not self._is_begun:
            if not self._begins(data):
                return b""
            position = len(PREFACE)
        while size - position >= HEAD_SIZE:
            if not count:
                self.pending = True
                break
            length = data[position] << 16 | data[position + 1] << 8 | data[position + 2]
            if length > MAX_FRAME_SIZE:
                raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            after = position + HEAD_SIZE + length
            if after > size:
                break
            if not self._admit(data, position, length):
                pieces.append(data[start:position])
                start = after
            position = after
            count -= 1
        self._position = position
        if not pieces:
            return data if start == 0 and position == size else data[start:position]
        pieces.append(data[start:position])
        return b"".join(pieces)

    def _begins(self, data: bytes) -> bool:
        """Whether the preface is complete, and the first frame's head (section 3.4)."""
        if not PREFACE.startswith(data[: len(PREFACE)]):
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "no HTTP/2 preface")
        if len(data) < len(PREFACE) + HEAD_SIZE:
            return False
        if data[len(PREFACE) + 3] != SETTINGS:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        self._is_begun = True
        return True

    def _admit(self, data: bytes, position: int, length: int) -> bool:
        """Whether the frame at this position is for the library; raises as `take` does."""
        kind = data[position + 3]
        if self._block_stream or kind == HEADERS or kind == CONTINUATION:
            self._count_block(data, position, length)
        elif kind == DATA:
            return self._admit_data(data, position, length)
        elif kind == RST_STREAM:
            self._reset_budget.spend()
        else:
            self._control.spend()
            return self._admit_control(data, position, length)
        return True

    def _admit_data(self, data: bytes, position: int, length: int) -> bool:
        """Whether a body's part is for a stream that is not over: of others nothing is said (section 5.1)."""
        flags, stream_id = data[position + 4], stream_id_at(data, position + 5)
        is_empty = not length or (flags & PADDED and data[position + HEAD_SIZE] >= length - 1)
        if is_empty and not flags & END_STREAM:
            self._control.spend()
        if not stream_id or stream_id > self._latest or stream_id in self._open or stream_id in self._new:
            return True
        self._control.spend()
        self.dropped += length
        return False

    def _count_block(self, data: bytes, position: int, length: int) -> None:
        """Holds a header block against its limits, frame by frame, and lets nothing come between them (section 4.3)."""
        kind, stream_id = data[position + 3], stream_id_at(data, position + 5)
        if self._block_stream != (stream_id if kind == CONTINUATION else 0):
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "a header block that another frame interrupts")
        if kind == HEADERS:
            self._block_bytes = self._block_frames = 0
            self._note_stream(stream_id)
        self._block_bytes += length
        self._block_frames += 1
        if self._block_bytes > self._block_limit:
            reason = f"a header block of more than {self._block_limit} bytes"
            raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, reason)
        if self._block_frames > MAX_BLOCK_FRAMES:
            raise ConnectionFault(
                ErrorCodes.ENHANCE_YOUR_CALM, f"a header block of more than {MAX_BLOCK_FRAMES} frames"
            )
        self._block_stream = 0 if data[position + 4] & END_HEADERS else stream_id

    def _note_stream(self, stream_id: int) -> None:
        """A request has begun, or its trailers have; whatever else it is, somebody has to reset it."""
        if stream_id > self._latest:
            self._latest = stream_id
            self._new.append(stream_id)
            return
        stream = self._open.get(stream_id)
        if stream is None or stream.request_has_ended:
            self._reset_budget.spend()

    def _admit_control(self, data: bytes, position: int, length: int) -> bool:
        kind, stream_id = data[position + 3], stream_id_at(data, position + 5)
        if kind == SETTINGS:
            check_settings(length, is_answer=bool(data[position + 4] & ACK))
            self._note_table_sizes(data[position + HEAD_SIZE : position + HEAD_SIZE + length])
        elif kind == GOAWAY:
            # The library would end the connection, whose requests are still to be answered (section 6.8).
            check_size("GOAWAY", length, length >= 8)
            check_stream("GOAWAY", stream_id, stream_id == 0)
            self.peer_leaves = True
        elif kind == PRIORITY:
            # Of RFC 7540; nothing here goes by it (RFC 9113 section 5.3.2).
            check_size("PRIORITY", length, length == 5)
            check_stream("PRIORITY", stream_id, stream_id != 0)
        elif kind == PRIORITY_UPDATE:
            self._take_priority(data[position + HEAD_SIZE : position + HEAD_SIZE + length], stream_id)
        return kind in (SETTINGS, PUSH_PROMISE, PING, WINDOW_UPDATE)

    def _note_table_sizes(self, settings: bytes) -> None:
        """Notes the smallest table that a frame names, where the library sees the last (RFC 7541 section 4.2)."""
        for at in range(0, len(settings), SETTING.size):
            code, value = SETTING.unpack_from(settings, at)
            if code == HEADER_TABLE_SIZE:
                self.table_size = value if self.table_size < 0 else min(self.table_size, value)

    def _take_priority(self, payload: bytes, stream_id: int) -> None:
        """RFC 9218 section 7.1."""
        if stream_id or len(payload) < 4:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "a malformed PRIORITY_UPDATE frame")
        self.priorities.append((stream_id_at(payload, 0), payload[4:]))


def check_settings(length: int, *, is_answer: bool) -> None:
    """Raises unless a SETTINGS frame may be so long (section 6.5)."""
    check_size("SETTINGS", length, length % 6 == 0 and not (is_answer and length))
    if length > MAX_SETTINGS_SIZE:
        raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, f"a SETTINGS frame of {length} bytes")


def check_size(name: str, length: int, is_good: bool) -> None:
    """Raises where a frame has another length than those of its type."""
    if not is_good:
        raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, f"a {name} frame of {length} bytes")


def check_stream(name: str, stream_id: int, is_good: bool) -> None:
    """Raises where a frame belongs to a stream, or to none, against its type."""
    if not is_good:
        raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, f"a {name} frame of stream {stream_id}")


def stream_id_at(data: bytes, position: int) -> int:
    """The stream's number at a position, without the bit that is reserved."""
    return int.from_bytes(data[position : position + 4], "big") & 0x7FFFFFFF


def data_frame_head(stream_id: int, size: int) -> bytes:
    """The head of a DATA frame that another follows."""
    return HEAD.pack(size >> 8, size & 0xFF, DATA, 0, stream_id)
