"""What a reader makes of bytes that arrive in pieces."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from threadserve.http.errors import HTTPError
from threadserve.http.head import RequestHead
from threadserve.http1.reader import Reader

NewReader = Callable[..., Reader]


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


def read(reader: Reader, pieces: Iterable[bytes]) -> Reading:
    """Feeds a reader piece by piece, and reads as far as it goes after each."""
    reading = Reading([])
    try:
        for piece in pieces:
            reader.feed(piece)
            read_on(reader, reading.messages)
    except HTTPError as error:
        reading.error = error
    return reading


def read_on(reader: Reader, messages: list[Message]) -> None:
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
