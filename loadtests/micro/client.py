"""The other end of a connection without a socket, and what threadserve has at its own.

A `Client` stands in the place of the transport: it hands the protocol the same bytes again and again, each time as soon
as the answer to the last ones has been written, and counts the answers' bytes. The connection, the loop's state and the
application's adapter are made as a loop of the server makes them.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from loadtests.errors import LoadTestError
from threadserve.app.loading import AppLoader
from threadserve.config import Config
from threadserve.http.bounds import Bounds
from threadserve.http.context import LoopSetup
from threadserve.logging.access_log import AccessLog
from threadserve.threads.loop_parts import LoopParts, build_loop_parts
from threadserve.threads.mailbox import Mailbox

# For how many seconds an answer is waited for before the measurement, and for the rest of one that has begun; then it
# comes in microseconds.
PATIENCE = 30.0
PATIENCE_FOR_REST = 10.0
# After so many turns of the loop everything is written that a request brings about.
TURNS = 10
ADDRESSES = {"peername": ("127.0.0.1", 40000), "sockname": ("127.0.0.1", 8000)}


class Client(asyncio.Transport):
    """One connection, which belongs to the running loop."""

    def __init__(self, serving: LoopParts) -> None:
        super().__init__(ADDRESSES)
        self._context = serving.context
        self._loop = serving.context.loop
        self._kept: bytearray | None = None
        self._written = asyncio.Event()
        self._received = 0
        self._due = 0
        self._arrived: asyncio.Future[None] | None = None
        self._request = b""
        self._answer_size = 0
        self._protocol: Any = serving.make_connection(None, None)
        self._protocol.connection_made(self)

    # What measures.

    async def ask(self, request: bytes, is_right: Callable[[bytes], bool]) -> bytes:
        """Sends bytes that `converse` will repeat, and returns the answer.

        Raises LoadTestError where what comes is not right, or where more comes behind it.
        """
        self._request = request
        self._kept = kept = bytearray()
        self._protocol.data_received(request)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE) as limit:
                while not is_right(bytes(kept)):
                    await self._written.wait()
                    self._written.clear()
                    limit.reschedule(self._loop.time() + PATIENCE_FOR_REST)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        if not is_right(bytes(kept)):
            raise LoadTestError(f"the answer is {bytes(kept[:200])!r}")
        self._kept = None
        self._answer_size = len(kept)
        self._due = self._received
        return bytes(kept)

    async def converse(self, times: int) -> None:
        """Sends the bytes so many times and awaits an answer of the same size each time.

        Raises LoadTestError where an answer is larger.
        """
        for _ in range(times):
            self._due += self._answer_size
            self._protocol.data_received(self._request)
            if self._received < self._due:
                self._arrived = self._loop.create_future()
                await self._arrived
        if self._received != self._due:
            raise LoadTestError(f"the answers had {self._received - self._due} bytes more than the first")

    async def leave(self) -> None:
        """Closes the connection, and returns when the application has noticed."""
        self._protocol.connection_lost(None)
        await asyncio.gather(*(call.task for call in self._context.registry.calls if call.task))

    # What the protocol calls.

    def write(self, data: Any) -> None:
        self._received += len(data)
        if self._kept is not None:
            self._kept += data
            self._written.set()
        if self._arrived is not None and self._received >= self._due:
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


def loop_of(loader: AppLoader, config: Config, log: AccessLog | None = None) -> LoopParts:
    """A loop that serves the application of a loader, on the running loop."""
    mailbox = Mailbox()
    mailbox.open()
    serves = LoopSetup(config, loader.load_threadsafe(1), {}, log, None, mailbox.post_threadsafe, Bounds())
    return build_loop_parts(serves, 1, websockets=loader.interface != "wsgi")
