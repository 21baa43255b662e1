"""The HTTP/1.1 parsers that can be chosen in place of the server's own reading, behind one small surface.

A parser belongs to one connection and runs on its loop thread. It is handed exactly one message at a time, of which the
grammar has accepted the head and the decoder of chunks the body's bytes; it never sees what follows the message.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Protocol

from threadserve.types import Headers

# Module and class of each: httptools may not be installed, so a module is imported when its parser is chosen.
PARSERS = {
    "h11": ("threadserve.http1.parsers.h11_parser", "H11Parser"),
    "httptools": ("threadserve.http1.parsers.httptools_parser", "HttptoolsParser"),
}


class Parser(Protocol):
    """Reads requests, one after the other. What it has read of a head stays until it reads the next."""

    method: str
    target: bytes
    headers: Headers

    def read_head(self, data: bytes) -> None:
        """Read a whole head, and no byte more. Raises `ParserError`.

        `headers` are then all its fields, names in lower case and values without white space around them.
        """
        ...

    def read_body(self, data: bytes) -> bytes:
        """Read the next bytes of the message and return what they hold of the body. Raises `ParserError`."""
        ...


def find_parser(name: str) -> Callable[[], Parser] | None:
    """Return the class of the parser with this name; None where `auto` leaves the reading to the server.

    Raises `ImportError` where the library that it rests on is not installed.
    """
    if name == "auto":
        return None
    module, maker = PARSERS[name]
    parser: Callable[[], Parser] = getattr(import_module(module), maker)
    return parser
