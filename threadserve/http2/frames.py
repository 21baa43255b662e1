"""The reader of frames: cuts received bytes into whole frames, and checks the limits before they are parsed.

A reader belongs to one connection, on its loop's thread. It owns the bytes that have arrived and are not processed. It
reads a frame's head (RFC 9113 section 4.1), and leaves the payload to the library.
"""

import struct
from enum import IntEnum, IntFlag

from h2.errors import ErrorCodes

from threadserve.http2.budgets import Budget
from threadserve.http2.errors import H2ConnectionError
from threadserve.http2.stream import H2Stream

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEAD_BYTES = 9
# Length (three bytes), type, flags, and stream identifier.
FRAME_HEAD = struct.Struct(">HBBBL")
SETTING_FORMAT = struct.Struct(">HL")
HEADER_TABLE_SIZE = 0x1
# The SETTINGS_MAX_FRAME_SIZE of this server: the smallest that may be announced.
MAX_FRAME_BYTES = 16384
# A SETTINGS frame has six bytes for each setting; fewer than ten are defined.
MAX_SETTINGS_BYTES = 32 * 6
# A head of the default limit takes five frames of the usual size.
MAX_BLOCK_FRAMES = 32


class FrameType(IntEnum):
    """The frame types (RFC 9113 section 6, RFC 9218 section 7.1)."""

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


class FrameFlag(IntFlag):
    """The frame flags (RFC 9113 section 6)."""

    ACK = 0x1
    END_STREAM = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8


# Plain integers: see `threadserve.http.states`.
DATA = FrameType.DATA.value
HEADERS = FrameType.HEADERS.value
PRIORITY = FrameType.PRIORITY.value
RST_STREAM = FrameType.RST_STREAM.value
SETTINGS = FrameType.SETTINGS.value
PUSH_PROMISE = FrameType.PUSH_PROMISE.value
PING = FrameType.PING.value
GOAWAY = FrameType.GOAWAY.value
WINDOW_UPDATE = FrameType.WINDOW_UPDATE.value
CONTINUATION = FrameType.CONTINUATION.value
PRIORITY_UPDATE = FrameType.PRIORITY_UPDATE.value

ACK = FrameFlag.ACK.value
END_STREAM = FrameFlag.END_STREAM.value
END_HEADERS = FrameFlag.END_HEADERS.value
PADDED = FrameFlag.PADDED.value


class FrameReader:
    """Returns whole frames, a few at a time.

    `pending` says that more may have arrived. `priorities` are the streams whose priority the frames returned last
    change, each with its new value, `dropped_bytes` the size of DATA on streams that are closed, for which the client
    gets window back, and `min_table_size` the smallest compression table that the client asked for, or -1.
    `goaway_received` says that the client will open no further stream.
    """

    __slots__ = (
        "_block_bytes",
        "_block_frames",
        "_block_limit",
        "_block_stream",
        "_control_budget",
        "_data",
        "_has_preface",
        "_latest_stream_id",
        "_new_stream_ids",
        "_open_streams",
        "_position",
        "_reset_budget",
        "dropped_bytes",
        "goaway_received",
        "min_table_size",
        "pending",
        "priorities",
    )

    def __init__(
        self, block_limit: int, open_streams: dict[int, H2Stream], control_budget: Budget, reset_budget: Budget
    ) -> None:
        self._open_streams = open_streams
        # The highest stream that the client has opened, and those opened by the frames returned last.
        self._latest_stream_id = 0
        self._new_stream_ids: list[int] = []
        self._block_limit = block_limit
        self._control_budget = control_budget
        self._reset_budget = reset_budget
        self._data = b""
        self._position = 0
        self._has_preface = False
        self._block_stream = 0
        self._block_bytes = 0
        self._block_frames = 0
        self.pending = False
        self.goaway_received = False
        self.min_table_size = -1
        self.dropped_bytes = 0
        self.priorities: list[tuple[int, bytes]] = []

    @property
    def is_amid_block(self) -> bool:
        """True while the rest of a header block is to come."""
        return self._block_stream != 0

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        position = self._position
        if position < len(self._data):
            data = self._data[position:] + data
        self._data = data
        self._position = 0
        self.pending = True

    def clear(self) -> None:
        """Drop all bytes; none will follow."""
        self._data = b""
        self._position = 0
        self.pending = False

    def next_frames(self, count: int) -> bytes:
        """Return the next whole frames for the library, at most `count`.

        Raises `H2ConnectionError` for a frame that may not come here, and when a limit is exceeded.
        """
        data = self._data
        size = len(data)
        start = position = self._position
        pieces: list[bytes] = []
        self.priorities = []
        self._new_stream_ids = []
        self.dropped_bytes = 0
        self.min_table_size = -1
        self.pending = False
        if not self._has_preface:
            if not self._check_preface(data):
                return b""
            position = len(PREFACE)
        while size - position >= FRAME_HEAD_BYTES:
            if not count:
                self.pending = True
                break
            length = data[position] << 16 | data[position + 1] << 8 | data[position + 2]
            if length > MAX_FRAME_BYTES:
                raise H2ConnectionError(ErrorCodes.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            after = position + FRAME_HEAD_BYTES + length
            if after > size:
                break
            if not self._check_frame(data, position, length):
                pieces.append(data[start:position])
                start = after
            position = after
            count -= 1
        self._position = position
        if not pieces:
            return data if start == 0 and position == size else data[start:position]
        pieces.append(data[start:position])
        return b"".join(pieces)

    def _check_preface(self, data: bytes) -> bool:
        """Return whether the preface and the first frame's head have arrived (section 3.4); raise if they are wrong."""
        if not PREFACE.startswith(data[: len(PREFACE)]):
            raise H2ConnectionError(ErrorCodes.PROTOCOL_ERROR, "no HTTP/2 preface")
        if len(data) < len(PREFACE) + FRAME_HEAD_BYTES:
            return False
        if data[len(PREFACE) + 3] != SETTINGS:
            raise H2ConnectionError(ErrorCodes.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        self._has_preface = True
        return True

    def _check_frame(self, data: bytes, position: int, length: int) -> bool:
        """Check the frame at `position`, and return whether the library needs it. Raises `H2ConnectionError`."""
        frame_type = data[position + 3]
        if self._block_stream or frame_type == HEADERS or frame_type == CONTINUATION:
            self._check_block(data, position, length)
        elif frame_type == DATA:
            return self._check_data(data, position, length)
        elif frame_type == RST_STREAM:
            self._reset_budget.spend()
        else:
            self._control_budget.spend()
            return self._check_control(data, position, length)
        return True

    def _check_data(self, data: bytes, position: int, length: int) -> bool:
        """Return whether a DATA frame is for an open stream; those for closed streams are ignored (section 5.1)."""
        flags, stream_id = data[position + 4], stream_id_at(data, position + 5)
        is_empty = not length or (flags & PADDED and data[position + FRAME_HEAD_BYTES] >= length - 1)
        if is_empty and not flags & END_STREAM:
            self._control_budget.spend()
        if (
            not stream_id
            or stream_id > self._latest_stream_id
            or stream_id in self._open_streams
            or stream_id in self._new_stream_ids
        ):
            return True
        self._control_budget.spend()
        self.dropped_bytes += length
        return False

    def _check_block(self, data: bytes, position: int, length: int) -> None:
        """Check a header block against the limits, and that no other frame interrupts it (section 4.3)."""
        frame_type, stream_id = data[position + 3], stream_id_at(data, position + 5)
        if self._block_stream != (stream_id if frame_type == CONTINUATION else 0):
            raise H2ConnectionError(ErrorCodes.PROTOCOL_ERROR, "a header block that another frame interrupts")
        if frame_type == HEADERS:
            self._block_bytes = self._block_frames = 0
            self._check_stream(stream_id)
        self._block_bytes += length
        self._block_frames += 1
        if self._block_bytes > self._block_limit:
            reason = f"a header block of more than {self._block_limit} bytes"
            raise H2ConnectionError(ErrorCodes.ENHANCE_YOUR_CALM, reason)
        if self._block_frames > MAX_BLOCK_FRAMES:
            raise H2ConnectionError(
                ErrorCodes.ENHANCE_YOUR_CALM, f"a header block of more than {MAX_BLOCK_FRAMES} frames"
            )
        self._block_stream = 0 if data[position + 4] & END_HEADERS else stream_id

    def _check_stream(self, stream_id: int) -> None:
        """Note the stream of a HEADERS frame: it opens a stream, or has trailers, or else leads to a reset."""
        if stream_id > self._latest_stream_id:
            self._latest_stream_id = stream_id
            self._new_stream_ids.append(stream_id)
            return
        stream = self._open_streams.get(stream_id)
        if stream is None or stream.request_has_ended:
            self._reset_budget.spend()

    def _check_control(self, data: bytes, position: int, length: int) -> bool:
        frame_type, stream_id = data[position + 3], stream_id_at(data, position + 5)
        if frame_type == SETTINGS:
            check_settings(length, is_ack=bool(data[position + 4] & ACK))
            self._read_table_sizes(data[position + FRAME_HEAD_BYTES : position + FRAME_HEAD_BYTES + length])
        elif frame_type == GOAWAY:
            # The library would close the connection at once, though requests still have to be answered (section 6.8).
            check_size("GOAWAY", length, length >= 8)
            check_stream("GOAWAY", stream_id, stream_id == 0)
            self.goaway_received = True
        elif frame_type == PRIORITY:
            # Of RFC 7540, and ignored (RFC 9113 section 5.3.2).
            check_size("PRIORITY", length, length == 5)
            check_stream("PRIORITY", stream_id, stream_id != 0)
        elif frame_type == PRIORITY_UPDATE:
            self._read_priority(data[position + FRAME_HEAD_BYTES : position + FRAME_HEAD_BYTES + length], stream_id)
        return frame_type in (SETTINGS, PUSH_PROMISE, PING, WINDOW_UPDATE)

    def _read_table_sizes(self, settings: bytes) -> None:
        """Note the smallest table size in the frame; the library notes only the last (RFC 7541 section 4.2)."""
        for at in range(0, len(settings), SETTING_FORMAT.size):
            code, value = SETTING_FORMAT.unpack_from(settings, at)
            if code == HEADER_TABLE_SIZE:
                self.min_table_size = value if self.min_table_size < 0 else min(self.min_table_size, value)

    def _read_priority(self, payload: bytes, stream_id: int) -> None:
        """Read a PRIORITY_UPDATE frame (RFC 9218 section 7.1)."""
        if stream_id or len(payload) < 4:
            raise H2ConnectionError(ErrorCodes.PROTOCOL_ERROR, "a malformed PRIORITY_UPDATE frame")
        self.priorities.append((stream_id_at(payload, 0), payload[4:]))


def check_settings(length: int, *, is_ack: bool) -> None:
    """Raise `H2ConnectionError` unless a SETTINGS frame may have this length (section 6.5)."""
    check_size("SETTINGS", length, length % 6 == 0 and not (is_ack and length))
    if length > MAX_SETTINGS_BYTES:
        raise H2ConnectionError(ErrorCodes.ENHANCE_YOUR_CALM, f"a SETTINGS frame of {length} bytes")


def check_size(name: str, length: int, is_good: bool) -> None:
    """Raise `H2ConnectionError` if a frame's length is not valid for its type."""
    if not is_good:
        raise H2ConnectionError(ErrorCodes.FRAME_SIZE_ERROR, f"a {name} frame of {length} bytes")


def check_stream(name: str, stream_id: int, is_good: bool) -> None:
    """Raise `H2ConnectionError` if a frame's stream is not valid for its type."""
    if not is_good:
        raise H2ConnectionError(ErrorCodes.PROTOCOL_ERROR, f"a {name} frame of stream {stream_id}")


def stream_id_at(data: bytes, position: int) -> int:
    """Return the stream identifier at a position, without the reserved bit."""
    return int.from_bytes(data[position : position + 4], "big") & 0x7FFFFFFF


def data_frame_head(stream_id: int, size: int) -> bytes:
    """Return the head of a DATA frame that is not the last of its stream."""
    return FRAME_HEAD.pack(size >> 8, size & 0xFF, DATA, 0, stream_id)
