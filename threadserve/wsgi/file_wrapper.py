"""`wsgi.file_wrapper`: a file as a result (PEP 3333, "Optional Platform-Specific File Handling").

Runs on the pool thread that makes the call. A wrapper belongs to the application that made it, and never reads more
than one block at a time.
"""

import io
import os
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

BLOCK_BYTES = 65536


class OpenFile(NamedTuple):
    """A regular file that is open for reading: `size` bytes of it, from `offset` on."""

    file: BinaryIO
    offset: int
    size: int


class FileWrapper:
    """An iterator over the blocks of a readable object. `close` closes that object, where it can be closed.

    It is its own iterator, so that middleware that keeps only the iterator can close it. It passes seeks on, so that
    middleware for ranges need not read up to them.
    """

    def __init__(self, filelike: Any, block_size: int = BLOCK_BYTES) -> None:
        self.filelike = filelike
        self.block_size = block_size

    def __iter__(self) -> "FileWrapper":
        return self

    def __next__(self) -> bytes:
        block: bytes = self.filelike.read(self.block_size)
        if not block:
            raise StopIteration
        return block

    def seekable(self) -> bool:
        """Return whether `seek` and `tell` work."""
        seekable = getattr(self.filelike, "seekable", None)
        return bool(seekable is not None and seekable())

    def seek(self, *args: int) -> int:
        """Seek in the wrapped file, and return the new position."""
        position: int = self.filelike.seek(*args)
        return position

    def tell(self) -> int:
        """Return the position of the wrapped file."""
        position: int = self.filelike.tell()
        return position

    def read_first(self, size: int) -> Iterator[bytes]:
        """Iterate over the blocks of the next `size` bytes."""
        while size > 0 and (block := self.filelike.read(min(size, self.block_size))):
            size -= len(block)
            yield block

    def close(self) -> None:
        """Close the wrapped file."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()

    def duplicate_file(self) -> OpenFile | None:
        """Return the rest of a regular file on a descriptor of its own, or None for any other file.

        So the application may close its file while the server still sends.
        """
        if not is_uncompressed_file(self.filelike):
            return None
        try:
            status = os.fstat(self.filelike.fileno())
            offset = self.filelike.tell()
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        file = os.fdopen(os.dup(self.filelike.fileno()), "rb")
        return OpenFile(file, offset, max(0, status.st_size - offset))


def is_uncompressed_file(filelike: object) -> bool:
    """Return whether reading yields the descriptor's own bytes; compressed files have a descriptor too."""
    if type(filelike) is io.BufferedReader or type(filelike) is io.BufferedRandom:
        filelike = filelike.raw
    return type(filelike) is io.FileIO
