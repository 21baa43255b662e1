"""The other end of a connection without a socket, and what threadserve has at its own.

A `Client` stands in the place of the transport: it hands the protocol the same bytes again and again, each time as soon
as the answer to the last ones has been written, and counts the answers' bytes. The connection, the loop's state and the
application's adapter are made as a loop of the server makes them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from loadtests.errors import require
from threadserve.app.loading import AppLoader
from threadserve.config import Config
from threadserve.http.bounds import Bounds
from threadserve.http.context import LoopSetup
from threadserve.logging.access_log import AccessLog, AccessLogWriter, Entry
from threadserve.threads.loop_parts import LoopParts, build_loop_parts
from threadserve.threads.mailbox import Mailbox

# Does an operation so many times, on the running loop.
Repeat = Callable[[int], Awaitable[None]]

# For how many seconds an answer is waited for before the measurement; then it comes in microseconds. Behind it nothing
# more may come for as long as a turn of the loop could take.
PATIENCE_SECONDS, TURN_SECONDS = 30.0, 0.02
ADDRESSES = {"peername": ("127.0.0.1", 40000), "sockname": ("127.0.0.1", 8000)}


class Client(asyncio.Transport):
    """One connection, which belongs to the running loop."""

    def __init__(self, serving: LoopParts) -> None:
        super().__init__(ADDRESSES)
        self._context = serving.context
        self._kept: bytearray | None = None
        self._missing = 0
        self._arrived: asyncio.Future[None] | None = None
        self._request, self._answer_size = b"", 0
        self._protocol: Any = serving.make_connection(None, None)
        self._protocol.connection_made(self)

    async def ask(self, request: bytes, is_right: Callable[[bytes], bool]) -> bytes:
        """Send bytes that `converse` will repeat, and return the answer.

        Raises LoadTestError where what comes is not right, or where more comes behind it.
        """
        self._request, self._kept = request, bytearray()
        self._protocol.data_received(request)
        for _ in range(int(PATIENCE_SECONDS / TURN_SECONDS)):
            await asyncio.sleep(TURN_SECONDS)
            if is_right(bytes(self._kept)):
                break
        await asyncio.sleep(TURN_SECONDS)
        answer = bytes(self._kept)
        require(is_right(answer), f"the answer is {answer[:200]!r}")
        self._kept, self._answer_size, self._missing = None, len(answer), 0
        return answer

    async def converse(self, times: int) -> None:
        """Send the bytes so many times and await an answer of the same size each time.

        Raises LoadTestError where an answer is larger.
        """
        for _ in range(times):
            self._missing += self._answer_size
            self._protocol.data_received(self._request)
            if self._missing > 0:
                self._arrived = self._context.loop.create_future()
                await self._arrived
        require(self._missing == 0, f"the answers had {-self._missing} bytes more than the first")

    async def leave(self) -> None:
        """Close the connection, and return when the application has noticed."""
        self._protocol.connection_lost(None)
        await asyncio.gather(*(call.task for call in self._context.registry.calls if call.task))

    # What the protocol calls.

    def write(self, data: Any) -> None:
        self._missing -= len(data)
        if self._kept is not None:
            self._kept += data
        if self._arrived is not None and self._missing <= 0:
            self._arrived.set_result(None)
            self._arrived = None

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        for data in list_of_data:
            self.write(data)

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0


class LastEntries(AccessLogWriter):
    """A writer that keeps the entries it was handed last: the thread that writes is not measured."""

    entries: list[Entry]

    def write_threadsafe(self, entries: list[Entry], moments: object = ()) -> None:
        self.entries = entries


@asynccontextmanager
async def serving(app: Any, log: AccessLog | None = None, **settings: Any) -> AsyncIterator[LoopParts]:
    """Give what serves an application on the running loop, for the length of the block."""
    config = Config(app, **settings)
    loader = AppLoader(config)
    mailbox = Mailbox()
    mailbox.open()
    serves = LoopSetup(config, loader.load_threadsafe(1), {}, log, None, mailbox.post_threadsafe, Bounds())
    try:
        yield build_loop_parts(serves, 1, websockets=loader.interface != "wsgi")
    finally:
        loader.stop(PATIENCE_SECONDS)
