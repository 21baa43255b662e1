"""The decoding of a chunked body with its trailers (RFC 9112 section 7.1).

A decoder is made for each such body, on its connection's loop thread. It owns the count of what is still to come and
never the bytes. Extensions of chunks mean nothing here, and trailers are dropped once they are known to be harmless.
"""

from enum import IntEnum

from threadserve.http.errors import HTTPError, bad_request
from threadserve.http.grammar import quote_bytes
from threadserve.http1.grammar import (
    BLANK_LINE,
    CHUNK_LINE_PATTERN,
    CRLF,
    FIELD_LINE_PATTERN,
    MAX_CHUNK_SIZE_DIGITS,
    TRAILERS_PATTERN,
    check_chunk_line,
    check_lines,
)

HEX_DIGITS = b"0123456789abcdefABCDEF"
FORBIDDEN_TRAILERS = (b"content-length", b"transfer-encoding")


class Expected(IntEnum):
    """The part of a body that comes next. See `threadserve.http.states` for why the constants are plain integers."""

    SIZE = 0
    DATA = 1
    DATA_END = 2
    TRAILERS = 3


EXPECT_SIZE = Expected.SIZE.value
EXPECT_DATA = Expected.DATA.value
EXPECT_DATA_END = Expected.DATA_END.value
EXPECT_TRAILERS = Expected.TRAILERS.value


class ChunkedDecoder:
    """Decodes one body. With `keeps_framing` it returns the body as a parser is to read it, chunk by chunk.

    That leaves out the extensions, about which parsers disagree with the RFC, and with each other.
    """

    __slots__ = (
        "_checked",
        "_keeps_framing",
        "_line_limit",
        "_next",
        "_parts",
        "_remaining",
        "_trailers_limit",
        "complete",
        "position",
    )

    def __init__(self, line_limit: int, trailers_limit: int, keeps_framing: bool) -> None:
        self._line_limit = line_limit
        self._trailers_limit = trailers_limit
        self._keeps_framing = keeps_framing
        self._next = EXPECT_SIZE
        self._remaining = 0
        self._checked = 0
        self._parts: list[bytes] = []
        self.position = 0
        self.complete = False

    def decode(self, data: bytes, position: int) -> bytes:
        """Decode what there is of the body from `position` on, and set `self.position` to the end of that.

        What it leaves before the body's end is the start of a line whose rest has not arrived. Raises `HTTPError`.
        """
        end = len(data)
        while position < end and not self.complete:
            if self._next == EXPECT_DATA:
                after = self._read_data(data, position)
            elif self._next == EXPECT_SIZE:
                after = self._read_size(data, position)
            elif self._next == EXPECT_DATA_END:
                after = self._read_data_end(data, position)
            else:
                after = self._read_trailers(data, position)
            if after == position:
                break
            position = after
        self.position = position
        parts = self._parts
        if not parts:
            return b""
        self._parts = []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_size(self, data: bytes, position: int) -> int:
        size_end = data.find(CRLF, position, position + MAX_CHUNK_SIZE_DIGITS + len(CRLF))
        digits = data[position:size_end]
        end = size_end + len(CRLF)
        # Without a line's end, `digits` is the data up to its last byte, and says nothing.
        if size_end <= position or digits.strip(HEX_DIGITS):
            match = CHUNK_LINE_PATTERN.match(data, position)
            if match is None or match.end() - position > self._line_limit:
                check_chunk_line(data, position, self._line_limit)
                return position
            digits = match[1]
            end = match.end()
        if self._keeps_framing:
            self._parts.append(digits + CRLF)
        self._remaining = int(digits, 16)
        self._next = EXPECT_DATA if self._remaining else EXPECT_TRAILERS
        return end

    def _read_data(self, data: bytes, position: int) -> int:
        after = min(position + self._remaining, len(data))
        self._remaining -= after - position
        if not self._remaining:
            self._next = EXPECT_DATA_END
        self._parts.append(data[position:after])
        return after

    def _read_data_end(self, data: bytes, position: int) -> int:
        if not data.startswith(CRLF, position):
            if data[position:] != b"\r":
                raise bad_request("a chunk's data is not followed by CRLF")
            return position
        if self._keeps_framing:
            self._parts.append(CRLF)
        self._next = EXPECT_SIZE
        return position + len(CRLF)

    def _read_trailers(self, data: bytes, position: int) -> int:
        if data.startswith(CRLF, position):
            end = position + len(CRLF)
        else:
            end = self._check_trailers(data, position)
            if end == position:
                return position
        if self._keeps_framing:
            self._parts.append(data[position:end])
        self.complete = True
        return end

    def _check_trailers(self, data: bytes, position: int) -> int:
        """Return where the trailers end, or `position` where they are incomplete. No line is checked twice."""
        unchecked = position + self._checked
        blank_line = data.find(BLANK_LINE, max(position, unchecked - len(CRLF)))
        match = TRAILERS_PATTERN.match(data, position) if blank_line >= 0 else None
        end = match.end() if match else len(data)
        if end - position > self._trailers_limit:
            raise HTTPError(431, f"the trailers are longer than {self._trailers_limit} bytes")
        if match is None:
            self._checked = check_lines(data, position, unchecked, has_request_line=False) - position
            return position
        for name, _ in FIELD_LINE_PATTERN.findall(data, position, end):
            if name.lower() in FORBIDDEN_TRAILERS:
                raise bad_request(f"a trailer cannot frame the message: {quote_bytes(name)}")
        return end
