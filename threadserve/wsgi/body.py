"""The body of a request: collected on the loop, read by the application.

`collect` runs on the request's loop thread, and has what goes to a file written by the loop's executor, so that a slow
disk stalls nobody else. What it returns goes over to the pool thread that makes the call, and with it the file. A slow
client keeps no pool thread waiting before as much as `CALL_AFTER` has arrived; from then on the application reads while
the rest comes, and the rest waits with the client. A body that does not say how long it is is collected as a whole, for
applications that read by CONTENT_LENGTH.
"""

import asyncio
import io
from collections.abc import Callable
from contextlib import suppress
from math import inf
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NamedTuple

from threadserve.errors import ClientDisconnected
from threadserve.types import Receive

IN_MEMORY = 65536
CALL_AFTER = 8 * 1024 * 1024
BLOCK = 65536

ReadMore = Callable[[], bytes]


class Collected(NamedTuple):
    """What has arrived of a body, how many bytes that is, and whether there is more."""

    file: BinaryIO
    size: int
    more: bool


def not_asked_for() -> Collected:
    """A body that the client sends once it is asked for."""
    return Collected(io.BytesIO(), 0, True)


async def collect(receive: Receive, *, is_sized: bool) -> Collected:
    """Receives a body until it is complete, or where it says how long it is, until `CALL_AFTER` bytes of it are there.

    Raises `ClientDisconnected` when the client goes before that, `OSError` when there is no room for it.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body = message.get("body", b"")
        return Collected(io.BytesIO(body), len(body), False)
    spool = Spool()
    try:
        while True:
            if message["type"] == "http.disconnect":
                raise ClientDisconnected("the client has disconnected")
            await spool.append(message.get("body", b""))
            more = message.get("more_body", False)
            if not more or spool.size >= (CALL_AFTER if is_sized else inf):
                return Collected(await spool.finish(), spool.size, more)
            message = await receive()
    except BaseException:
        spool.discard()
        raise


class Spool:
    """A body on its way into memory and, beyond `IN_MEMORY`, into a temporary file. It belongs to its loop's thread.

    One step at a time is made by the executor, and the file is closed after that.
    """

    def __init__(self) -> None:
        self.size = 0
        self._loop = asyncio.get_running_loop()
        self._file: BinaryIO = io.BytesIO()
        self._step: asyncio.Future[Any] | None = None

    async def append(self, data: bytes) -> None:
        """Adds a part; returns when that is written."""
        self.size += len(data)
        if self.size <= IN_MEMORY:
            self._file.write(data)
            return
        if isinstance(self._file, io.BytesIO):
            beginning = self._file.getvalue()
            self._file = await self._beside(TemporaryFile)
            data = beginning + data
        await self._beside(self._file.write, data)

    async def finish(self) -> BinaryIO:
        """The whole, to be read from its beginning."""
        if isinstance(self._file, io.BytesIO):
            self._file.seek(0)
        else:
            await self._beside(self._file.seek, 0)
        return self._file

    def discard(self) -> None:
        """Closes the file, once the executor does nothing more with it."""
        if self._step is None or self._step.done():
            self._close(self._file)
        else:
            self._step.add_done_callback(self._on_last_step)

    async def _beside(self, call: Callable[..., Any], *args: Any) -> Any:
        self._step = self._loop.run_in_executor(None, call, *args)
        return await asyncio.shield(self._step)

    def _on_last_step(self, step: "asyncio.Future[Any]") -> None:
        if not step.cancelled() and step.exception() is None and isinstance(step.result(), io.IOBase):
            # It was the one that made the file.
            self._file = step.result()
        self._close(self._file)

    def _close(self, file: BinaryIO) -> None:
        # What is left to be written may find no room; the descriptor is closed all the same.
        with suppress(OSError):
            file.close()


def input_stream(collected: Collected, read_more: ReadMore) -> BinaryIO:
    """What the application reads as `wsgi.input`. `read_more` blocks and returns what comes next, b"" at the end."""
    if not collected.more:
        return collected.file
    return io.BufferedReader(Continued(collected.file, read_more), BLOCK)


class Continued(io.RawIOBase):
    """A body of which the beginning is there. It belongs to the pool thread that makes the call."""

    def __init__(self, beginning: BinaryIO, read_more: ReadMore) -> None:
        self._beginning = beginning
        self._read_more = read_more
        self._rest = memoryview(b"")
        self._begun = False

    def readable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer with what is there, or waits for more where nothing is. Raises `ClientDisconnected`."""
        if not self._begun:
            size = self._beginning.readinto(buffer)  # type: ignore[attr-defined]
            if size:
                return int(size)
            self._begun = True
        if not self._rest:
            self._rest = memoryview(self._read_more())
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def close(self) -> None:
        """Lets go of the beginning's file."""
        self._beginning.close()
        super().close()
