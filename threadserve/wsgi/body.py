"""The body of a WSGI request: collected on the loop, read by the application.

`collect_body` runs on the request's loop thread. Large bodies go to a temporary file, written by the loop's executor so
that a slow disk does not block the loop. The result is passed to the pool thread that makes the call, which then owns
the file.

A slow client occupies no pool thread until `CALL_AFTER_BYTES` of its body have arrived; from then on the application
reads while the rest arrives, with flow control. A body without a content-length is collected as a whole, for
applications that read by CONTENT_LENGTH.
"""

import asyncio
import io
from collections.abc import Callable
from contextlib import suppress
from math import inf
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NamedTuple, TypeVar

from threadserve.errors import ClientDisconnected
from threadserve.types import Arguments, Receive

MAX_MEMORY_BYTES = 65536
CALL_AFTER_BYTES = 8 * 1024 * 1024
BUFFER_BYTES = 65536

ReadMore = Callable[[], bytes]
Result = TypeVar("Result")


class CollectedBody(NamedTuple):
    """The part of a body that has arrived, its size in bytes, and whether more follows."""

    file: BinaryIO
    size: int
    more: bool


def unrequested_body() -> CollectedBody:
    """Return an empty part of a body that the client sends only after a 100 (Continue)."""
    return CollectedBody(io.BytesIO(), 0, True)


async def collect_body(receive: Receive, *, is_sized: bool) -> CollectedBody:
    """Receive a body until it is complete, or until `CALL_AFTER_BYTES` bytes of one with a content-length have arrived.

    Raises `ClientDisconnected` when the client goes before that, and `OSError` when there is no room for the body.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body = message.get("body", b"")
        return CollectedBody(io.BytesIO(body), len(body), False)
    spool = Spool()
    try:
        while True:
            if message["type"] == "http.disconnect":
                raise ClientDisconnected("the client has disconnected")
            await spool.append(message.get("body", b""))
            more = message.get("more_body", False)
            if not more or spool.size >= (CALL_AFTER_BYTES if is_sized else inf):
                return CollectedBody(await spool.finish(), spool.size, more)
            message = await receive()
    except BaseException:
        spool.discard()
        raise


class Spool:
    """A body that is kept in memory and, beyond `MAX_MEMORY_BYTES`, in a temporary file.

    Belongs to its loop's thread. The executor runs one file operation at a time; the file is closed after the last.
    """

    def __init__(self) -> None:
        self.size = 0
        self._loop = asyncio.get_running_loop()
        self._file: BinaryIO = io.BytesIO()
        self._operation: asyncio.Future[Any] | None = None

    async def append(self, data: bytes) -> None:
        """Append a part of the body, and return when it is written."""
        self.size += len(data)
        if self.size <= MAX_MEMORY_BYTES:
            self._file.write(data)
            return
        if isinstance(self._file, io.BytesIO):
            first_part = self._file.getvalue()
            self._file = await self._run_in_executor(TemporaryFile)
            data = first_part + data
        await self._run_in_executor(self._file.write, data)

    async def finish(self) -> BinaryIO:
        """Return the file that holds the whole body, at its start."""
        if isinstance(self._file, io.BytesIO):
            self._file.seek(0)
        else:
            await self._run_in_executor(self._file.seek, 0)
        return self._file

    def discard(self) -> None:
        """Close the file, after the executor's last operation on it."""
        if self._operation is None or self._operation.done():
            self._close(self._file)
        else:
            self._operation.add_done_callback(self._on_last_operation)

    async def _run_in_executor(self, call: Callable[[*Arguments], Result], *args: *Arguments) -> Result:
        self._operation = operation = self._loop.run_in_executor(None, call, *args)
        return await asyncio.shield(operation)

    def _on_last_operation(self, operation: "asyncio.Future[Any]") -> None:
        if not operation.cancelled() and operation.exception() is None and isinstance(operation.result(), io.IOBase):
            # This operation created the file.
            self._file = operation.result()
        self._close(self._file)

    def _close(self, file: BinaryIO) -> None:
        # Flushing may find no room on the disk; the descriptor is closed all the same.
        with suppress(OSError):
            file.close()


def make_input_stream(collected: CollectedBody, read_more: ReadMore) -> BinaryIO:
    """Return the file that the application reads as `wsgi.input`.

    `read_more` blocks, and returns the next bytes of the body, or b"" at its end.
    """
    if not collected.more:
        return collected.file
    return io.BufferedReader(StreamedBody(collected.file, read_more), BUFFER_BYTES)


class StreamedBody(io.RawIOBase):
    """A body of which the first part has arrived. Belongs to the pool thread that makes the call."""

    def __init__(self, first_part: BinaryIO, read_more: ReadMore) -> None:
        self._first_part = first_part
        self._read_more = read_more
        self._unread = memoryview(b"")
        self._first_part_is_read = False

    def readable(self) -> bool:
        """Return True (see `io.IOBase`)."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with the bytes at hand, or wait for more. Raises `ClientDisconnected`."""
        if not self._first_part_is_read:
            size = self._first_part.readinto(buffer)  # type: ignore[attr-defined]
            if size:
                return int(size)
            self._first_part_is_read = True
        if not self._unread:
            self._unread = memoryview(self._read_more())
        size = min(len(buffer), len(self._unread))
        buffer[:size] = self._unread[:size]
        self._unread = self._unread[size:]
        return size

    def close(self) -> None:
        """Close the file with the first part."""
        self._first_part.close()
        super().close()
