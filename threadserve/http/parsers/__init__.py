"""The HTTP/1.1 parsers, behind one small surface.

A parser belongs to one connection and runs on its loop thread. It is handed exactly one message at a time, of which the
grammar has accepted the head and the framing the body's bytes; it never sees what lies behind the message.
"""

from collections.abc import Callable
from typing import Protocol

from threadserve.http.parsers.h11_parser import H11Parser
from threadserve.http.parsers.httptools_parser import HttptoolsParser
from threadserve.types import Headers

__all__ = ["PARSERS", "H11Parser", "HttptoolsParser", "Parser", "parser_name"]


class Parser(Protocol):
    """Reads requests, one after the other. What it has read of a head stays until it reads the next."""

    method: str
    target: bytes
    headers: Headers
    special: Headers

    def head(self, data: bytes) -> None:
        """Reads a whole head, and no byte more. Raises `ParserError`.

        `headers` are then all its fields, names in lower case and values without white space around them, and
        `special` those among them that `rules.SPECIAL` lists, which decide about the message or tell whose it is.
        """
        ...

    def body(self, data: bytes) -> bytes:
        """Reads the next bytes of the message and returns what they hold of the body. Raises `ParserError`."""
        ...


PARSERS: dict[str, Callable[[], Parser]] = {"httptools": HttptoolsParser, "h11": H11Parser}


def parser_name(name: str) -> str:
    """Which parser a name of the configuration stands for."""
    return "httptools" if name == "auto" else name
