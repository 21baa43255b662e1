"""The client that counts how many WebSocket messages a second a server sends back.

On each connection one text message is in flight: when it has come back whole, it is sent again. The masked frame is
made once for each connection, and an answer that arrives in one piece is compared as a whole, so a message costs the
client little more than two system calls. Messages that are in flight at the end are not counted.
"""

import asyncio
import time
from typing import Any, cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from loadtests.errors import require

CONNECTIONS = 32


class Echo(asyncio.Protocol):
    """One WebSocket with one message in flight. `failure` is the reason for which it ended, or ""."""

    def __init__(self, port: int, size: int) -> None:
        self._payload = (b"The quick brown fox jumps over the lazy dog. " * (size // 45 + 1))[:size]
        self.messages = 0
        self.failure = ""
        message = Frame(Opcode.TEXT, self._payload)
        self._sent, self._expected = message.serialize(mask=True), message.serialize(mask=False)
        self._parts = b""
        self._protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/"), max_size=None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._protocol.send_request(self._protocol.connect())
        self.transport.writelines(self._protocol.data_to_send())

    def data_received(self, data: bytes) -> None:
        # What begins within a frame never looks like the whole of one.
        if data == self._expected:
            self.messages += 1
            self.transport.write(self._sent)
            return
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self.transport.write(self._sent)
            elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.CONT):
                self._parts += event.data
        # Pongs.
        self.transport.writelines(self._protocol.data_to_send())
        if self._protocol.state is not State.OPEN:
            self.fail(f"the server does not accept a WebSocket, or closes it: {self._protocol.handshake_exc or ''}")
        elif self._parts == self._payload:
            self._parts = b""
            self.messages += 1
            self.transport.write(self._sent)
        elif not self._payload.startswith(self._parts):
            self.fail(f"the server sent another message back: {self._parts[:40]!r}")

    def connection_lost(self, error: Exception | None) -> None:
        self.fail(f"the server closed a WebSocket: {error or ''}")

    def fail(self, reason: str) -> None:
        """Note the reason for which the connection ended, if it is the first."""
        self.failure = self.failure or reason


async def measure(port: int, size: int, warm_up: float, seconds: float) -> dict[str, Any]:
    """Warm the server up and measure; return what `LoadResult` has.

    Raises OSError, or LoadTestError where a connection ends or no message comes back.
    """
    loop = asyncio.get_running_loop()
    opening = [loop.create_connection(lambda: Echo(port, size), "127.0.0.1", port) for _ in range(CONNECTIONS)]
    connections = [protocol for _, protocol in await asyncio.gather(*opening)]
    await asyncio.sleep(warm_up)
    before, began, cpu = [one.messages for one in connections], time.time(), time.process_time()
    await asyncio.sleep(seconds)
    gained = [one.messages - earlier for one, earlier in zip(connections, before, strict=True)]
    took, used = time.time() - began, time.process_time() - cpu
    for connection in connections:
        require(not connection.failure, connection.failure)
        connection.transport.abort()
    require(any(gained), "no message came back")
    return {
        "requests": sum(gained),
        "seconds": took,
        "percentiles": {},
        "errors": {"connection without a message back": gained.count(0)} if 0 in gained else {},
        "began": began,
        "cpu_share": round(used / took, 6),
        "noun": "messages",
    }
