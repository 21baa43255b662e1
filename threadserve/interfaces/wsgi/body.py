"""The body of a request: collected on the loop, read by the application.

`collect` runs on the request's loop thread. What it returns goes over to the pool thread that makes the call, and with
it the file in which a larger body waits. A slow client keeps no pool thread waiting before as much as `CALL_AFTER` has
arrived; from then on the application reads while the rest comes, and the rest waits with the client.
"""

import io
from collections.abc import Callable
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, NamedTuple, cast

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


async def collect(receive: Receive) -> Collected:
    """Receives a body until it is complete or `CALL_AFTER` bytes of it are there.

    Raises `ClientDisconnected` when the client goes before that.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body = message.get("body", b"")
        return Collected(io.BytesIO(body), len(body), False)
    # The page cache takes what is written, so that the loop does not wait for the disk.
    spool = cast("Any", SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115 (it goes over to the call)
    try:
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientDisconnected("the client has disconnected")
            size += spool.write(message.get("body", b""))
            more = message.get("more_body", False)
            if not more or size >= CALL_AFTER:
                spool.seek(0)
                return Collected(spool, size, more)
            message = await receive()
    except BaseException:
        spool.close()
        raise


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
