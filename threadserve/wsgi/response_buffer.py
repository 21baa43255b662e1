"""A response's bytes, passed from the thread that made them to another.

The Python form of `response_buffer.pyx`. One thread packs a buffer and passes it on; then another reads it.
"""


class ResponseBuffer:
    """The bytes of a response's head and of its body, both empty at first."""

    __slots__ = ("_packed_body", "_packed_head")

    def __init__(self) -> None:
        self._packed_head = b""
        self._packed_body = b""

    def pack(self, head: bytes, body: bytes) -> None:
        """Store the bytes. Called once."""
        self._packed_head = head
        self._packed_body = body

    def packed_head(self) -> bytes:
        """Return the head's bytes, as an object of the calling thread."""
        return self._packed_head

    def packed_body(self) -> bytes:
        """Return the body's bytes, as an object of the calling thread."""
        return self._packed_body
