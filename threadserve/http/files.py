"""Files as response bodies.

Runs on the connection's loop thread, except that a file is opened and read in the loop's executor, so that a slow disk
stalls nobody else. Never holds more than one block of a file.
"""

import asyncio
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, Protocol

BLOCK = 262144


class FileOutlet(Protocol):
    """The connection, as far as a file on its way out sees it."""

    transport: Any

    def write(self, data: bytes) -> None:
        """Queues bytes for the client."""
        ...

    async def drained(self) -> None:
        """Returns when the client has taken enough of what is queued, or is gone."""
        ...


async def open_regular(loop: asyncio.AbstractEventLoop, path: str) -> tuple[BinaryIO, int]:
    """Returns a regular file, open for reading, and its size in bytes. Raises `OSError` where it is none."""
    return await loop.run_in_executor(None, _open_regular, path)


def _open_regular(path: str) -> tuple[BinaryIO, int]:
    file = Path(path).open("rb")
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise OSError(f"not a regular file: {path}")
    return file, status.st_size


async def send_file(loop: asyncio.AbstractEventLoop, outlet: FileOutlet, file: BinaryIO, size: int) -> None:
    """Sends `size` bytes of a file, by the kernel's sendfile where the loop has it.

    Raises `OSError` when the client goes, `RuntimeError` when the file turns out to be shorter.
    """
    try:
        sent = await loop.sendfile(outlet.transport, file, 0, size, fallback=False)
    except (NotImplementedError, asyncio.SendfileNotAvailableError):
        sent = await _copy(loop, outlet, file, size)
    if sent != size:
        raise RuntimeError(f"the file has become shorter: {file.name}")


async def _copy(loop: asyncio.AbstractEventLoop, outlet: FileOutlet, file: BinaryIO, size: int) -> int:
    sent = 0
    while sent < size and not outlet.transport.is_closing():
        block = await loop.run_in_executor(None, file.read, min(BLOCK, size - sent))
        if not block:
            return sent
        outlet.write(block)
        sent += len(block)
        await outlet.drained()
    return size
