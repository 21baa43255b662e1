"""What a reader makes of bytes that arrive in pieces."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from threadserve.http.errors import HTTPError
from threadserve.http.head import RequestHead
from threadserve.http1.parsers import find_parser
from threadserve.http1.reader import RequestReader
from threadserve.http1.scan import HeadScanner

NewReader = Callable[..., RequestReader]


def reader_maker(parser_name: str) -> NewReader:
    """What makes readers with this parser; their limits are those of a server unless given."""
    scanner = HeadScanner(1)
    make_parser = find_parser(parser_name)

    def make(
        *, head_limit: int = 65536, field_limit: int = 100, chunk_line_limit: int = 1024, trailers_limit: int = 16384
    ) -> RequestReader:
        parser = make_parser() if make_parser is not None else None
        return RequestReader(head_limit, field_limit, chunk_line_limit, trailers_limit, scanner, parser)

    return make


@dataclass
class Message:
    """A request: its head, and as much of its body as was read."""

    head: RequestHead
    body: bytes = b""
    is_complete: bool = False


@dataclass
class Reading:
    """The requests that were read, and the error that ended it."""

    messages: list[Message]
    error: HTTPError | None = None


def in_pieces(data: bytes, step: int) -> list[bytes]:
    """`data` in pieces of `step` bytes."""
    return [data[at : at + step] for at in range(0, len(data), step)]


def read(reader: RequestReader, pieces: Iterable[bytes]) -> Reading:
    """Feeds a reader piece by piece, and reads as far as it goes after each."""
    reading = Reading([])
    try:
        for piece in pieces:
            reader.feed(piece)
            read_on(reader, reading.messages)
    except HTTPError as error:
        reading.error = error
    return reading


def read_on(reader: RequestReader, messages: list[Message]) -> None:
    while True:
        if reader.body_complete:
            head = reader.read_head()
            if head is None:
                return
            messages.append(Message(head, is_complete=reader.body_complete))
        else:
            part = reader.read_body()
            messages[-1].body += part
            messages[-1].is_complete = reader.body_complete
            if not part and not reader.body_complete:
                return
