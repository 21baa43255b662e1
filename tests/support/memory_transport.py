"""A connection of the server without sockets: the test decides which bytes arrive together."""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from support.waiting import DEADLINE

from threadserve.config import Config
from threadserve.http.bounds import Bounds
from threadserve.http.context import LoopSetup
from threadserve.threads.loop_parts import LoopParts, build_loop_parts
from threadserve.types import ASGIApp

TURNS = 6


class MemoryTransport(asyncio.Transport):
    """Keeps what the protocol writes, and how often it does. Belongs to one loop."""

    def __init__(self, protocol: Any) -> None:
        super().__init__({"peername": ("127.0.0.1", 40000), "sockname": ("127.0.0.1", 8000)})
        self.protocol = protocol
        self.written = bytearray()
        self.writes = 0
        self.lists = 0
        self.closed = asyncio.Event()
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._closing = False
        self._eof = False

    def write(self, data: Any) -> None:
        if self._eof:
            raise RuntimeError("write() after write_eof()")
        self.writes += 1
        if not self._closing:
            self.written += data

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.lists += 1
        pieces = list(list_of_data)
        # asyncio's transports write an empty one at the end for ever.
        assert all(pieces)
        self.write(b"".join(pieces))

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
        await pass_turns()

    async def deliver_eof(self) -> None:
        """Has the client half-close, and waits until the server has closed."""
        await self._resumed.wait()
        if not self._closing and not self.protocol.eof_received():
            self.close()
        await self.closed.wait()


async def pass_turns() -> None:
    """Gives the application some turns of the loop."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def serving(config: Config, bounds: Bounds | None = None, post: Any = None) -> LoopParts:
    """What serves the application of `config` on the running loop; `post` stands in for its `call_soon_threadsafe`."""
    post = post or asyncio.get_running_loop().call_soon_threadsafe
    serves = LoopSetup(config, cast("ASGIApp", config.app), {}, None, None, post, bounds or Bounds())
    return build_loop_parts(serves, 0, websockets=True)


def opened(loop: LoopParts, kind: type[MemoryTransport] = MemoryTransport) -> MemoryTransport:
    """A connection of this loop, whose client is a transport of this kind."""
    transport = kind(loop.make_connection(None, None))
    transport.protocol.connection_made(transport)
    return transport


async def converse(app: ASGIApp, parser: Any, pieces: Iterable[bytes], bounds: Bounds | None = None) -> bytes:
    """What a connection with this parser writes when these pieces arrive one after the other, then a half-close."""
    loop = serving(Config(app, http=parser), bounds)
    transport = opened(loop)
    async with asyncio.timeout(DEADLINE):
        for piece in pieces:
            await transport.deliver(piece)
        await transport.deliver_eof()
        await asyncio.gather(*(call.task for call in loop.context.registry.calls if call.task))
    return bytes(transport.written)
