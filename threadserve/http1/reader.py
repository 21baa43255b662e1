"""The reading of HTTP/1.1 requests, without I/O: bytes go in, heads and parts of bodies come out.

A reader belongs to one connection and runs on its loop's thread. It owns the bytes that have arrived and are not taken
yet; it never looks at those after the message that it is asked for.
"""

from threadserve.errors import ParserError
from threadserve.http.errors import bad_request
from threadserve.http.head import HTTP_1_0, HTTP_1_1, MessageFraming, RequestHead
from threadserve.http1.chunked import ChunkedDecoder
from threadserve.http1.framing import FRAMING_FIELDS, parse_framing
from threadserve.http1.grammar import BLANK_LINE, CRLF, check_partial_head, head_too_large
from threadserve.http1.parsers import Parser
from threadserve.http1.scan import HeadScanner
from threadserve.types import Headers


class RequestReader:
    """Reads requests, one after the other: a head, then parts of its body until `body_complete`.

    The strict grammar decides what is a request. Where there is a `parser`, it then reads the same bytes, and what it
    reads is what is used. `has_partial_head` is true while a part of a head is here, and `unread` is the number of
    bytes that have been fed and not taken.
    """

    __slots__ = (
        "_checked",
        "_chunk_line_limit",
        "_control_fields",
        "_data",
        "_decoder",
        "_field_limit",
        "_framing",
        "_framing_fields",
        "_head_limit",
        "_is_http11",
        "_parser",
        "_position",
        "_remaining",
        "_scanner",
        "_trailers_limit",
        "body_complete",
        "has_partial_head",
        "unread",
    )

    def __init__(
        self,
        head_limit: int,
        field_limit: int,
        chunk_line_limit: int,
        trailers_limit: int,
        scanner: HeadScanner,
        parser: Parser | None = None,
    ) -> None:
        self._head_limit = head_limit
        self._field_limit = field_limit
        self._chunk_line_limit = chunk_line_limit
        self._trailers_limit = trailers_limit
        self._scanner = scanner
        self._parser = parser
        self._data = b""
        self._position = 0
        self._checked = 0
        self._remaining = 0
        self._decoder: ChunkedDecoder | None = None
        self._framing: MessageFraming | None = None
        self._control_fields: Headers | None = None
        self._framing_fields: Headers | None = None
        self._is_http11 = True
        self.body_complete = True
        self.has_partial_head = False
        self.unread = 0

    def feed(self, data: bytes) -> None:
        """Add bytes that have arrived."""
        if self.unread:
            data = self._data[self._position :] + data
            self._checked -= self._position
        self._data = data
        self._position = 0
        self.unread = len(data)

    def discard(self) -> None:
        """Drop everything unread, and expect nothing more."""
        self._data = b""
        self._position = 0
        self.unread = 0
        self._decoder = None
        self._remaining = 0
        self.body_complete = True
        self.has_partial_head = False

    def take_unread(self) -> bytes:
        """Remove and return everything unread, which belongs to another protocol from here on."""
        rest = self._data[self._position :]
        self.discard()
        return rest

    def read_head(self) -> RequestHead | None:
        """Return the next request's head, or None where more bytes are needed.

        Raises `HTTPError` as soon as no further byte can make these an acceptable head.
        """
        data = self._data
        position = self._position
        scanned = None
        if not self.has_partial_head or data.find(BLANK_LINE, max(position, self._checked - len(CRLF))) >= 0:
            scanned = self._scanner.scan(data, position)
        if scanned is None:
            return self._read_partial_head()
        end, method, target, is_http11, headers, control_fields = scanned
        if end - position > self._head_limit or len(headers) > self._field_limit:
            raise head_too_large(data, position, end, self._head_limit, self._field_limit)
        framing = self._framing
        # Most requests on a connection repeat these fields, and then mean the same.
        if framing is None or is_http11 != self._is_http11 or control_fields != self._control_fields:
            framing = self._update_framing(control_fields, is_http11)
        parser = self._parser
        if parser is not None:
            reparse_head(parser, data[position:end])
            method, target, headers = parser.method, parser.target, parser.headers
        self._position = end
        self.unread = len(data) - end
        self.has_partial_head = False
        if framing.has_body:
            self._expect_body(framing)
        return RequestHead(method, target, headers, control_fields, HTTP_1_1 if is_http11 else HTTP_1_0, framing)

    def read_body(self) -> bytes:
        """Return the next part of the current request's body, empty where none has arrived. Sets `body_complete`."""
        data = self._data
        position = self._position
        decoder = self._decoder
        if decoder is not None:
            part = decoder.decode(data, position)
            after = decoder.position
            self.body_complete = decoder.complete
        else:
            after = min(position + self._remaining, len(data))
            part = data if after - position == len(data) else data[position:after]
            self._remaining -= after - position
            self.body_complete = self._remaining == 0
        self._position = after
        self.unread = len(data) - after
        if self.body_complete:
            self._decoder = None
        return part if self._parser is None or not part else reparse_body(self._parser, part)

    def _read_partial_head(self) -> RequestHead | None:
        data = self._data
        position = begin = self._position
        # RFC 9112 section 2.2: an empty line before the request line is ignored.
        while data.startswith(CRLF, position):
            position += len(CRLF)
        if position != begin:
            self._position = position
            self.unread = len(data) - position
            self.has_partial_head = False
            return self.read_head()
        if position < len(data):
            # No line is checked twice, however small the pieces are that the rest comes in.
            unchecked = self._checked if self.has_partial_head else position
            self.has_partial_head = True
            self._checked = check_partial_head(data, position, unchecked, self._head_limit)
        return None

    def _update_framing(self, control_fields: Headers, is_http11: bool) -> MessageFraming:
        """Return the framing of fields that differ from the last request's. Behind a proxy often only the client
        differs.
        """
        framing_fields = [field for field in control_fields if field[0] in FRAMING_FIELDS]
        framing = self._framing
        if framing is None or is_http11 != self._is_http11 or framing_fields != self._framing_fields:
            framing = parse_framing(framing_fields, is_http11)
        self._framing = framing
        self._control_fields = control_fields
        self._framing_fields = framing_fields
        self._is_http11 = is_http11
        return framing

    def _expect_body(self, framing: MessageFraming) -> None:
        self.body_complete = False
        if framing.chunked:
            self._decoder = ChunkedDecoder(self._chunk_line_limit, self._trailers_limit, self._parser is not None)
        else:
            self._remaining = framing.content_length


def reparse_head(parser: Parser, head: bytes) -> None:
    """Read a head, which is acceptable, with a parser."""
    try:
        parser.read_head(head)
    except ParserError:
        raise bad_request("malformed request") from None


def reparse_body(parser: Parser, part: bytes) -> bytes:
    """Read a part of a body, which is well framed, with a parser; return what it holds of the body."""
    try:
        return parser.read_body(part)
    except ParserError as error:
        raise bad_request("malformed body") from error
