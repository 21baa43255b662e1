"""A strict reader of HTTP/1.1 responses: whatever RFC 9112 does not allow a server to send raises `BadResponse`."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
NAME = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
VISIBLE = rb"[\x21-\x7e\x80-\xff]"
FIELD = re.compile(rb"(%b):[ \t]*((?:%b(?:[\t\x20-\x7e\x80-\xff]*%b)?)?)[ \t]*" % (NAME, VISIBLE, VISIBLE))
CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")
FRAMING = (b"content-length", b"transfer-encoding")


class BadResponse(Exception):
    """The server sent something that is no valid response."""


class Incomplete(BadResponse):
    """The connection ended in the middle of a response; `received` is what there was of its body."""

    def __init__(self, message: str, received: bytes = b"") -> None:
        super().__init__(message)
        self.received = received


@dataclass
class Response:
    """One response, with lower-case field names. `interim` holds the 1xx responses that came before it."""

    version: str
    status: int
    reason: str
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: list["Response"] = field(default_factory=list)
    ended_by_eof: bool = False

    def all(self, name: str) -> list[bytes]:
        """Every value of the field `name`."""
        return [value for known, value in self.headers if known == name.encode()]

    def header(self, name: str) -> bytes | None:
        """The only value of the field `name`, or None; a repeated field is an error."""
        values = self.all(name)
        if len(values) > 1:
            raise BadResponse(f"{name} is repeated: {values}")
        return values[0] if values else None

    @property
    def says_close(self) -> bool:
        """Whether the server announced that it closes the connection."""
        return any(
            option.strip().lower() == b"close" for value in self.all("connection") for option in value.split(b",")
        )


class ResponseReader:
    """Reads responses from `receive`, which returns the next bytes and b"" at the end of the stream."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self.receive = receive
        self.buffer = bytearray()
        self.at_eof = False

    def fill(self) -> bool:
        """Waits for more bytes; False at the end of the stream."""
        data = b"" if self.at_eof else self.receive()
        self.at_eof = not data
        self.buffer += data
        return bool(data)

    def take(self, count: int) -> bytes:
        """Exactly `count` bytes of a body."""
        while len(self.buffer) < count:
            if not self.fill():
                raise Incomplete(f"{len(self.buffer)} of {count} bytes before the end", bytes(self.buffer))
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def line(self) -> bytes:
        """A line without its CRLF, which must be there and be the only CR and LF."""
        while (end := self.buffer.find(b"\n")) < 0:
            if not self.fill():
                raise Incomplete(f"the connection ended after {bytes(self.buffer)!r}")
        line = self.take(end + 1)
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise BadResponse(f"a line does not end in CRLF: {line!r}")
        return line[:-2]

    def rest(self) -> bytes:
        """Everything up to the end of the stream."""
        while self.fill():
            pass
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Fields up to an empty line."""
        found = []
        while line := self.line():
            match = FIELD.fullmatch(line)
            if match is None:
                raise BadResponse(f"a malformed field: {line!r}")
            found.append((match[1].lower(), match[2]))
        return found

    def head(self) -> Response:
        """A status line and its fields."""
        line = self.line()
        match = STATUS_LINE.fullmatch(line)
        if match is None:
            raise BadResponse(f"a malformed status line: {line!r}")
        return Response(match[1].decode(), int(match[2]), match[3].decode("latin-1"), self.fields())

    def response(self, method: str = "GET") -> Response:
        """The next final response to a request with `method`, with its body and the 1xx responses before it."""
        interim = []
        response = self.head()
        while 100 <= response.status < 200:
            if any(response.all(name.decode()) for name in FRAMING):
                raise BadResponse(f"a {response.status} with a body")
            interim.append(response)
            response = self.head()
        response.interim = interim
        self.read_body(response, method)
        return response

    def read_body(self, response: Response, method: str) -> None:
        """Reads the body as RFC 9112, section 6.3 delimits it."""
        length, codings = response.header("content-length"), response.header("transfer-encoding")
        if length is not None and codings is not None:
            raise BadResponse("content-length and transfer-encoding in one response")
        if response.status == 204 and (length is not None or codings is not None):
            raise BadResponse("a 204 with a body")
        if method == "HEAD" or response.status in (204, 304):
            return
        if codings is not None:
            if codings.lower() != b"chunked":
                raise BadResponse(f"transfer-encoding: {codings!r}")
            response.body = self.chunks()
            response.trailers = self.fields()
        elif length is not None:
            if not length.isdigit():
                raise BadResponse(f"content-length: {length!r}")
            response.body = self.take(int(length))
        else:
            response.body = self.rest()
            response.ended_by_eof = True

    def chunks(self) -> bytes:
        """A chunked body up to its last chunk."""
        chunks = []
        try:
            while size := self.chunk_size():
                chunks.append(self.take(size))
                if self.take(2) != b"\r\n":
                    raise BadResponse("no CRLF after a chunk")
        except Incomplete as error:
            raise Incomplete(str(error), b"".join([*chunks, error.received])) from None
        return b"".join(chunks)

    def chunk_size(self) -> int:
        """The size of the next chunk, which is sent without extensions."""
        line = self.line()
        if CHUNK_SIZE.fullmatch(line) is None:
            raise BadResponse(f"a malformed chunk size: {line!r}")
        return int(line, 16)

    def more(self) -> bool:
        """Whether anything is left to read before the end of the stream."""
        return bool(self.buffer) or self.fill()


def parse_responses(data: bytes, methods: tuple[str, ...] = ()) -> list[Response]:
    """All responses in `data`, a whole connection's bytes; `methods` are those of its requests, GET unless said."""
    pieces = iter([data])
    reader = ResponseReader(lambda: next(pieces, b""))
    responses: list[Response] = []
    while reader.more():
        method = methods[len(responses)] if len(responses) < len(methods) else "GET"
        responses.append(reader.response(method))
    return responses
