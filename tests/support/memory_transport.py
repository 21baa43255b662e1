"""A connection of the server without sockets: the test decides which bytes arrive together."""

import asyncio
from collections.abc import Iterable
from typing import Any

from support.waiting import DEADLINE

from threadserve.config import Config
from threadserve.http.bounds import Bounds
from threadserve.http.context import LoopContext, Serves
from threadserve.threads.loop_parts import connection_maker
from threadserve.types import ASGIApp

TURNS = 6


class MemoryTransport(asyncio.Transport):
    """Keeps what the protocol writes. Belongs to one loop."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 40000), "sockname": ("127.0.0.1", 8000)})
        self.protocol = protocol
        self.written = bytearray()
        self.closed = asyncio.Event()
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._closing = False
        self._eof = False

    def write(self, data: Any) -> None:
        if self._eof:
            raise RuntimeError("write() after write_eof()")
        if not self._closing:
            self.written += data

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._eof = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self._resumed.clear()

    def resume_reading(self) -> None:
        self._resumed.set()

    def is_reading(self) -> bool:
        return self._resumed.is_set()

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._resumed.set()
            asyncio.get_running_loop().call_soon(self._lost)

    abort = close

    def _lost(self) -> None:
        self.protocol.connection_lost(None)
        self.closed.set()

    async def deliver(self, piece: bytes) -> None:
        """Has `piece` arrive, once the protocol reads, and gives the application some turns of the loop."""
        await self._resumed.wait()
        if not self._closing:
            self.protocol.data_received(piece)
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def deliver_eof(self) -> None:
        """Has the client half-close, and waits until the server has closed."""
        await self._resumed.wait()
        if not self._closing and not self.protocol.eof_received():
            self.close()
        await self.closed.wait()


def connect(config: Config, app: ASGIApp, bounds: Bounds, post: Any) -> tuple[LoopContext, Any]:
    """What a loop shares, and a connection of its, on the running loop."""
    context = LoopContext(serves := Serves(config, app, {}, None, None, post, bounds))
    return context, connection_maker(serves, 0, context, websockets=True)(None, None)


async def converse(app: ASGIApp, parser: Any, pieces: Iterable[bytes], bounds: Bounds | None = None) -> bytes:
    """What a connection with this parser writes when these pieces arrive one after the other, then a half-close."""
    post = asyncio.get_running_loop().call_soon_threadsafe
    context, connection = connect(Config(app, http=parser), app, bounds or Bounds(), post)
    transport = MemoryTransport(connection)
    async with asyncio.timeout(DEADLINE):
        connection.connection_made(transport)
        for piece in pieces:
            await transport.deliver(piece)
        await transport.deliver_eof()
        await asyncio.gather(*(call.task for call in context.registry.calls))
    return bytes(transport.written)
