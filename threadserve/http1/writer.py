"""Responses as the bytes of HTTP/1.1, without I/O (RFC 9112).

Belongs to one connection, on its loop's thread. It owns the head that is to be sent and how the body is framed; it
never touches a transport, and knows of requests only what their responses depend on.
"""

from collections.abc import Iterable
from enum import IntEnum

from threadserve.http.errors import HTTPError
from threadserve.http.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    LENGTH_UNKNOWN,
    MAX_LENGTH_DIGITS,
    TRANSFER_ENCODING,
    copy_field,
    merge_content_length,
)
from threadserve.http.head import HTTP_1_1, RequestHead, ResponseHead
from threadserve.http1.grammar import CRLF
from threadserve.http1.header_lines import (
    MANAGED_FIELDS,
    HeaderLines,
    field_line,
    field_lines,
    status_line,
    without_field,
)
from threadserve.types import Field, Headers

CONNECTION_CLOSE = b"connection: close\r\n\r\n"
CONNECTION_KEEP_ALIVE = b"connection: keep-alive\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
HTTP_VERSION = b"HTTP/1.1 "


class BodyFraming(IntEnum):
    """The way in which a client recognizes a body's end (RFC 9112 section 6.3). Chosen once, when the head is sent."""

    NONE = 0
    """There is no body."""
    LENGTH = 1
    CHUNKED = 2
    UNTIL_CLOSE = 3


NONE = BodyFraming.NONE.value
LENGTH = BodyFraming.LENGTH.value
CHUNKED = BodyFraming.CHUNKED.value
UNTIL_CLOSE = BodyFraming.UNTIL_CLOSE.value


class ResponseWriter:
    """Makes the bytes of one connection's responses, one after the other.

    `head` is that of the request which the next response answers. With `keep_alive` the connection may go on after the
    response; it is the client's wish at first, and final once the head is made.
    """

    __slots__ = (
        "_framing",
        "_length",
        "_lines",
        "_pieces",
        "_sends_trailers",
        "_status",
        "_trailers",
        "head",
        "keep_alive",
    )

    head: RequestHead

    def __init__(self, lines: HeaderLines) -> None:
        self._lines = lines
        self._pieces: list[bytes] = []
        self._framing = NONE
        self._length = LENGTH_UNKNOWN
        self._status = 0
        self._sends_trailers = False
        self._trailers: list[bytes] = []
        self.keep_alive = True

    def prepare(self, status: int, fields: Iterable[Field]) -> int:
        """Take the head of a response. Return the length that its fields declare, or -1.

        Raises `ValueError` and `TypeError` for fields that would break the response.
        """
        lines = self._lines
        line = lines.statuses.get(status)
        pieces = [lines.add_status(status) if line is None else line, lines.default]
        self._pieces = pieces
        self._status = status
        self._length = LENGTH_UNKNOWN
        self._sends_trailers = False
        cache = lines.cache
        own = fields if type(fields) is list else list(fields)
        for field in own:
            try:
                line = cache.get(field)
                if line is None and field[0] == CONTENT_LENGTH and self._length < 0:
                    digits = field[1]
                    if digits.isdigit() and len(digits) <= MAX_LENGTH_DIGITS:
                        self._length = int(digits)
                        line = b"content-length: " + digits + CRLF
            except (AttributeError, TypeError, ValueError):
                # Only tuples of bytes can be looked up, but other pairs and other buffers are allowed.
                line = None
            if line is None:
                self._add_field(copy_field(field))
            else:
                pieces.append(line)
        if status == 204 and self._length >= 0:
            # RFC 9110 section 8.6: a response without content has no content-length.
            self._pieces = [without_field(CONTENT_LENGTH, line) for line in pieces]
        return self._length

    def _add_field(self, field: Field) -> None:
        """Add a field that is not cached, or that the server manages."""
        name, value = field
        lower = name.lower()
        if lower not in MANAGED_FIELDS:
            self._pieces.append(self._lines.add_to_cache(field))
        elif lower == CONTENT_LENGTH:
            self._declare_length(value)
        elif lower == CONNECTION:
            field_line(field)
            if b"close" in value.lower():
                self.keep_alive = False
        elif lower != TRANSFER_ENCODING:
            # The transfer coding is the server's choice (ASGI HTTP spec, "Response Start"); other managed fields
            # replace the server's own.
            self._pieces[1] = without_field(lower, self._pieces[1])
            self._pieces.append(field_line(field))

    def _declare_length(self, value: bytes) -> None:
        is_first = self._length < 0
        self._length = merge_content_length(value, self._length)
        if is_first:
            self._pieces.append(b"content-length: %d\r\n" % self._length)

    def prepare_formatted(self, head: ResponseHead) -> None:
        """Take a head that has been checked and formatted already."""
        default = self._lines.default
        for name in head.replaced_fields:
            default = without_field(name, default)
        self._pieces = [HTTP_VERSION, head.text, default]
        self._status = head.status
        self._length = head.length
        self._sends_trailers = False
        if head.closes_connection:
            self.keep_alive = False

    def announce_trailers(self) -> None:
        """Send the body in chunks, and end it in trailers."""
        self._sends_trailers = True
        self._trailers = []

    def start(self, body: bytes, more: bool) -> list[bytes]:
        """Return the head, with the first part of the body; with `more`, others follow."""
        pieces = self._pieces
        self._pieces = []
        self._framing = LENGTH
        if self._status == 204 or self._status == 304:
            self._framing = NONE
        elif self.head.method == "HEAD":
            self._framing = NONE
            if self._length < 0 and body and not more:
                pieces.append(b"content-length: %d\r\n" % len(body))
        elif self._sends_trailers:
            self._frame_in_chunks(pieces)
        elif self._length < 0:
            if not more:
                pieces.append(b"content-length: %d\r\n" % len(body))
            elif self.head.version == HTTP_1_1:
                self._frame_in_chunks(pieces)
            else:
                self._framing = UNTIL_CLOSE
                self.keep_alive = False
        pieces.append(CRLF if self.keep_alive and self.head.version == HTTP_1_1 else self._connection_line())
        if self._framing == LENGTH:
            pieces.append(body)
        else:
            self._add_body(pieces, body, more)
        return pieces

    def _frame_in_chunks(self, pieces: list[bytes]) -> None:
        self._framing = CHUNKED
        pieces.append(b"transfer-encoding: chunked\r\n")

    def _connection_line(self) -> bytes:
        """Return the end of a head that has to say whether the connection goes on (RFC 9112 section 9.3)."""
        return CONNECTION_KEEP_ALIVE if self.keep_alive else CONNECTION_CLOSE

    def expect_file(self, size: int) -> None:
        """Frame the whole body of the response that is to start as `size` bytes of a file, which follow as they are."""
        self._sends_trailers = False
        if self._length < 0 and self._status != 204:
            self._pieces.append(b"content-length: %d\r\n" % size)
            self._length = size

    def body(self, data: bytes, more: bool) -> list[bytes]:
        """Return the next part of the body; with `more`, others follow."""
        pieces: list[bytes] = []
        self._add_body(pieces, data, more)
        return pieces

    def _add_body(self, pieces: list[bytes], data: bytes, more: bool) -> None:
        if self._framing == CHUNKED:
            if data:
                pieces.append(b"%x\r\n" % len(data))
                pieces.append(data)
                pieces.append(CRLF)
            if not more and not self._sends_trailers:
                pieces.append(LAST_CHUNK)
        elif self._framing != NONE and data:
            pieces.append(data)

    def holds_head(self) -> bool:
        """Return whether a head has been prepared that is not sent yet."""
        return bool(self._pieces)

    def sends_body(self) -> bool:
        """Return whether the body of this response is sent at all."""
        return self._framing != NONE

    def file_prefix(self, size: int) -> bytes:
        """Return the bytes before `size` bytes of a file that are all that is left of the body."""
        return b"%x\r\n" % size if self._framing == CHUNKED and size else b""

    def file_suffix(self, size: int) -> bytes:
        """Return the bytes after them."""
        if self._framing != CHUNKED:
            return b""
        return CRLF + LAST_CHUNK if size else LAST_CHUNK

    def trailers(self, fields: Iterable[Field], more: bool) -> bytes:
        """Return the trailers once the last of them is here (RFC 9112 section 7.1.2). Raises as `prepare` does."""
        self._trailers.append(field_lines(fields))
        return b"" if more else b"".join([b"0\r\n", *self._trailers, CRLF])

    def informational(self, status: int, fields: Iterable[Field]) -> bytes:
        """Return an informational response; empty for HTTP/1.0, which has none (RFC 9110 section 15.2)."""
        lines = field_lines(fields)
        return b"".join([status_line(status), lines, CRLF]) if self.head.version == HTTP_1_1 else b""

    def switching_protocols(self, fields: Iterable[Field]) -> bytes:
        """Return the answer that accepts an upgrade (RFC 9110 section 15.2.2), with the lines of every response."""
        default = self._lines.default
        lines = [status_line(101)]
        for field in fields:
            line = field_line(field)
            lines.append(line)
            name = line.partition(b":")[0].lower()
            if name in MANAGED_FIELDS and name != CONNECTION:
                default = without_field(name, default)
        return b"".join([*lines, default, CRLF])

    def error_response(self, error: HTTPError) -> bytes:
        """Return the whole response to a request that is refused, which is the last on its connection."""
        body = f"{error.reason}\n".encode("latin-1", "backslashreplace")
        length = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % len(body)
        return b"".join(
            [status_line(error.status), self._lines.default, field_lines(error.fields), length, CONNECTION_CLOSE, body]
        )


def parse_fields(pieces: list[bytes]) -> Headers:
    """Return the fields of a head that was sent in these pieces, with names in lower case."""
    head: list[bytes] = []
    for piece in pieces:
        head.append(piece)
        if piece == CRLF or piece.endswith(CRLF + CRLF):
            break
    parts = [line.partition(b":") for line in b"".join(head).split(CRLF)[1:]]
    return [(name.lower(), value.strip()) for name, _, value in parts if name]
