"""Whole responses, and those that are given in place of the application's.

Runs on no thread of its own: what is here is never written once it is made.
"""

from typing import NamedTuple

from threadserve.types import Message

TEXT = (b"content-type", b"text/plain; charset=utf-8")


class Answer(NamedTuple):
    """A whole response: its `http.response.start` and all of its body."""

    start: Message
    body: bytes


def _plain(status: int, phrase: bytes, *headers: tuple[bytes, bytes]) -> Answer:
    return Answer({"type": "http.response.start", "status": status, "headers": [TEXT, *headers]}, phrase)


FAILED = _plain(500, b"Internal Server Error")
BUSY = _plain(503, b"Service Unavailable", (b"retry-after", b"1"))
GIVEN_UP = _plain(504, b"Gateway Timeout")
