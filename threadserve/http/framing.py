"""Where a request's body ends, and so how far the parser may read.

A framing is made for each request with a body, on its connection's loop thread. It owns the count of what is still to
come and never the bytes: it walks over them ahead of the parser, which then reads exactly that far. Bytes behind a
message therefore never reach the parser before their turn.
"""

from typing import Protocol

from threadserve.http.grammar import CHUNK_SIZE, FIELD, TRAILERS, check_chunk_line, check_lines, readable
from threadserve.http.refusal import CRLF, Refusal, bad_request

CHUNK_LINE_LIMIT = 1024
TRAILERS_LIMIT = 16384
FRAMING_FIELDS = frozenset({b"content-length", b"transfer-encoding"})


class Framing(Protocol):
    """How the end of a body is known."""

    done: bool

    def advance(self, data: bytes, position: int) -> int:
        """Returns how far from `position` the bytes belong to this body and are well framed; sets `done` at its end.

        What it leaves unclaimed before the end is the start of a line whose rest has not arrived. Raises `Refusal`.
        """
        ...

    def plain(self, data: bytes, position: int, end: int) -> bytes:
        """The bytes that were claimed last, from `position` to `end`, as a parser is to read them."""
        ...


class LengthFraming:
    """A body of `length` bytes, as its Content-Length says (RFC 9112 section 6.2)."""

    __slots__ = ("_remaining", "done")

    def __init__(self, length: int) -> None:
        self._remaining = length
        self.done = length == 0

    def advance(self, data: bytes, position: int) -> int:
        """See `Framing.advance`."""
        step = min(self._remaining, len(data) - position)
        self._remaining -= step
        self.done = self._remaining == 0
        return position + step

    def plain(self, data: bytes, position: int, end: int) -> bytes:
        """See `Framing.plain`."""
        return part(data, position, end)


class ChunkedFraming:
    """A chunked body with its trailers (RFC 9112 section 7.1).

    Extensions of chunks mean nothing here. The parsers never see them, for they disagree with the RFC about them, and
    with each other.
    """

    __slots__ = ("_extensions", "_next", "_remaining", "done")

    def __init__(self) -> None:
        self._remaining = 0
        self._extensions: list[tuple[int, int]] = []
        self._next = self._chunk_size
        self.done = False

    def advance(self, data: bytes, position: int) -> int:
        """See `Framing.advance`."""
        while not self.done and position < len(data):
            claimed = self._next(data, position)
            if claimed == position:
                break
            position = claimed
        return position

    def plain(self, data: bytes, position: int, end: int) -> bytes:
        """See `Framing.plain`."""
        if not self._extensions:
            return part(data, position, end)
        pieces = []
        for begin, after in self._extensions:
            pieces.append(data[position:begin])
            position = after
        self._extensions.clear()
        return b"".join([*pieces, data[position:end]])

    def _chunk_size(self, data: bytes, position: int) -> int:
        match = CHUNK_SIZE.match(data, position)
        if match is None or match.end() - position > CHUNK_LINE_LIMIT:
            check_chunk_line(data, position, CHUNK_LINE_LIMIT)
            return position
        size_end, end = match.end(1), match.end()
        if size_end + len(CRLF) < end:
            self._extensions.append((size_end, end - len(CRLF)))
        self._remaining = int(match[1], 16)
        self._next = self._chunk_data if self._remaining else self._trailers
        return end

    def _chunk_data(self, data: bytes, position: int) -> int:
        step = min(self._remaining, len(data) - position)
        self._remaining -= step
        if not self._remaining:
            self._next = self._chunk_end
        return position + step

    def _chunk_end(self, data: bytes, position: int) -> int:
        end = data[position : position + 2]
        if end == CRLF:
            self._next = self._chunk_size
            return position + 2
        if end != b"\r":
            raise bad_request("a chunk's data is not followed by CRLF")
        return position

    def _trailers(self, data: bytes, position: int) -> int:
        match = TRAILERS.match(data, position)
        end = match.end() if match else len(data)
        if end - position > TRAILERS_LIMIT:
            raise Refusal(431, f"the trailers are longer than {TRAILERS_LIMIT} bytes")
        if match is None:
            check_lines(data, position, position, has_request_line=False)
            return position
        for name, _ in FIELD.findall(data, position, end):
            if name.lower() in FRAMING_FIELDS:
                raise bad_request(f"a trailer cannot frame the message: {readable(name)}")
        self.done = True
        return end


def part(data: bytes, position: int, end: int) -> bytes:
    """The bytes between two positions, not copied where that is all of them."""
    return data if end - position == len(data) else data[position:end]
