"""`wsgi.file_wrapper`: a file as a result (PEP 3333, "Optional Platform-Specific File Handling").

Runs on the pool thread that makes the call. A wrapper belongs to the application that made it; nothing here reads more
of a file than one block.
"""

import io
import os
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

BLOCK = 65536


class OpenFile(NamedTuple):
    """A regular file, open for reading: `size` bytes of it from `offset` on."""

    file: BinaryIO
    offset: int
    size: int


class FileWrapper:
    """The blocks of something that can be read. `close` closes that, where it can be closed.

    It is its own iterator, so that middleware that keeps only that can close it, and what can be sought in can be
    sought in through it, so that middleware for ranges need not read up to them.
    """

    def __init__(self, filelike: Any, block_size: int = BLOCK) -> None:
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
        """Whether `seek` and `tell` work."""
        seekable = getattr(self.filelike, "seekable", None)
        return bool(seekable is not None and seekable())

    def seek(self, *args: int) -> int:
        """Seeks in the wrapped file."""
        position: int = self.filelike.seek(*args)
        return position

    def tell(self) -> int:
        """Where the wrapped file is read next."""
        position: int = self.filelike.tell()
        return position

    def beginning(self, size: int) -> Iterator[bytes]:
        """The blocks of the first `size` bytes."""
        while size > 0 and (block := self.filelike.read(min(size, self.block_size))):
            size -= len(block)
            yield block

    def close(self) -> None:
        """Closes the wrapped file."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()

    def open_again(self) -> OpenFile | None:
        """What is left to read of a regular file, open on a descriptor of its own; None where it is no such file.

        So the application may close its file while the server still sends.
        """
        if not is_plain_file(self.filelike):
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


def is_plain_file(filelike: Any) -> bool:
    """Whether what can be read here is what the descriptor has, unlike with compressed files, which have one too."""
    if type(filelike) in (io.BufferedReader, io.BufferedRandom):
        filelike = filelike.raw
    return type(filelike) is io.FileIO
