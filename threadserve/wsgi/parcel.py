"""Bytes on their way from the thread that has made them to another.

The twin, in Python, of `parcel.pyx`. A parcel is packed by one thread and then, when that has handed it over, read by
another.
"""


class Parcel:
    """Two pieces of bytes. Both are empty at first."""

    __slots__ = ("_first", "_second")

    def __init__(self) -> None:
        self._first = b""
        self._second = b""

    def pack(self, first: bytes, second: bytes) -> None:
        """Puts them in; once."""
        self._first = first
        self._second = second

    def first(self) -> bytes:
        """The first piece, as the calling thread's own."""
        return self._first

    def second(self) -> bytes:
        """The second piece, as the calling thread's own."""
        return self._second
