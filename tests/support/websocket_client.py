"""A WebSocket client that sends the very frames it is told to, and pieces of applications for it to talk to."""

import base64
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from support.raw_client import RawClient, request
from support.responses import Response

from threadserve.types import Receive, Scope, Send

KEY = base64.b64encode(b"0123456789abcdef").decode()
MASK = b"\x11\x22\x33\x44"

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Frame(NamedTuple):
    """A frame as it came; `first` is its first byte."""

    first: int
    payload: bytes

    @property
    def opcode(self) -> int:
        """What kind of frame it is."""
        return self.first & 0x0F

    @property
    def close_code(self) -> int:
        """The code of a close frame, 1005 where it has none."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else 1005


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = MASK) -> bytes:
    """The bytes of a frame."""
    first = fin << 7 | rsv << 4 | opcode
    size = len(payload)
    masked = 0 if mask is None else 0x80
    if size < 126:
        head = struct.pack("!BB", first, masked | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, masked | 126, size)
    else:
        head = struct.pack("!BBQ", first, masked | 127, size)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def text(data: str) -> bytes:
    """The bytes of a text message in one frame."""
    return frame(TEXT, data.encode())


def close(code: int, reason: str = "") -> bytes:
    """The bytes of a close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


def opening(target: str = "/", *fields: str) -> bytes:
    """The bytes of the request that opens a WebSocket."""
    return request(
        "GET",
        target,
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        *fields,
    )


class WebSocketClient(RawClient):
    """One connection. What it reads as frames is checked: no masks, no longer lengths than needed."""

    def open(self, target: str = "/", *fields: str, behind: bytes = b"") -> Response:
        """Opens the WebSocket, with `behind` sent right behind the request."""
        self.send(opening(target, *fields) + behind)
        response = self.read_head()
        assert response.status == 101, response
        return response

    def read_head(self) -> Response:
        """The head of the answer to the request."""
        return self.reader.head()

    def read_frame(self) -> Frame:
        """The next frame."""
        first, size = self._take(2)
        assert size < 128, "the server masks its frames"
        if size == 126:
            size = int.from_bytes(self._take(2), "big")
            assert size >= 126
        elif size == 127:
            size = int.from_bytes(self._take(8), "big")
            assert size >= 65536
        return Frame(first, self._take(size))

    def read_text(self) -> str:
        """The text of the next frame, which is a whole message."""
        first, payload = self.read_frame()
        assert first == 0x81, (first, payload)
        return payload.decode()

    def read_close(self) -> tuple[int, str]:
        """Code and reason of the close frame that comes next."""
        got = self.read_frame()
        assert got.first == 0x80 | CLOSE, got
        return got.close_code, got.payload[2:].decode()

    def _take(self, size: int) -> bytes:
        return self.reader.take(size)


ConnectWebSocket = Callable[..., WebSocketClient]


@contextmanager
def websocket_clients() -> Iterator[ConnectWebSocket]:
    """Gives a function that connects to a server; closes the connections in the end."""
    with ExitStack() as stack:

        def connect(server: Any, **options: Any) -> WebSocketClient:
            client = WebSocketClient(server.host, server.port, **options)
            stack.callback(client.close)
            return client

        yield connect


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Accepts, and sends every message back."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({**message, "type": "websocket.send"})
