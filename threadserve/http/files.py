"""Files as response bodies.

Runs on the connection's loop thread, except that a file is opened and read in the loop's executor, so that a slow disk
stalls nobody else. Never holds more than one block of a file.
"""

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from threadserve.errors import ClientDisconnected
from threadserve.http.flow import FlowControl

FILE_BLOCK_BYTES = 262144

Write = Callable[[bytes], None]


async def open_regular_file(loop: asyncio.AbstractEventLoop, path: str) -> tuple[BinaryIO, int]:
    """Return the regular file at a path, open for reading, and its size in bytes. Raises `OSError`."""
    return await loop.run_in_executor(None, _open_regular_file, path)


def _open_regular_file(path: str) -> tuple[BinaryIO, int]:
    file = Path(path).open("rb")  # noqa: SIM115 (it is closed when the response ends)
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise OSError(f"not a regular file: {path}")
    return file, status.st_size


async def send_file(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    flow: FlowControl,
    write: Write,
    file: BinaryIO,
    offset: int,
    size: int,
) -> int:
    """Send `size` bytes of a file from `offset` on, by the kernel's sendfile where the loop has it, else by `write`.

    Returns how many bytes have not gone through `write`. Raises `ClientDisconnected` when the client goes,
    `RuntimeError` when the file turns out to be shorter.
    """
    try:
        if transport.get_extra_info("ssl_object") is not None:
            raise asyncio.SendfileNotAvailableError("the kernel does not encrypt")
        sent = await loop.sendfile(transport, file, offset, size, fallback=False)
    except (NotImplementedError, asyncio.SendfileNotAvailableError):
        file.seek(offset)
        await copy_file(loop, transport.is_closing, flow, write, file, size)
        return 0
    except ConnectionError as error:
        # The kernel tells of an error once, so the transport would read an end, as of a client that takes its answer.
        transport.abort()
        raise ClientDisconnected("the client has disconnected") from error
    check_file_sent(file, sent, size, is_closing=transport.is_closing())
    return sent


async def copy_file(
    loop: asyncio.AbstractEventLoop,
    is_closing: Callable[[], bool],
    flow: FlowControl,
    write: Write,
    file: BinaryIO,
    size: int,
) -> None:
    """Send the next `size` bytes of a file by `write`. Raises as `send_file` does."""
    sent = 0
    while sent < size:
        block = await loop.run_in_executor(None, file.read, min(FILE_BLOCK_BYTES, size - sent))
        if not block or is_closing():
            break
        write(block)
        sent += len(block)
        await flow.drain()
    check_file_sent(file, sent, size, is_closing=is_closing())


def check_file_sent(file: BinaryIO, sent: int, size: int, *, is_closing: bool) -> None:
    """Raise `ClientDisconnected` for a closing connection and `RuntimeError` for a file that was too short."""
    if is_closing:
        raise ClientDisconnected("the client has disconnected")
    if sent != size:
        raise RuntimeError(f"the file has become shorter: {file.name}")
