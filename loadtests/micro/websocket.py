"""From the bytes of a WebSocket message to those of its echo."""

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from loadtests.apps import echo
from loadtests.clients import frames
from loadtests.micro.benchmark import Benchmark, Repeat
from loadtests.micro.client import Client, loop_of
from threadserve.app.loading import AppLoader
from threadserve.config import Config

App = Callable[..., Awaitable[None]]

SMALL = b"x" * 100
LARGE = b"x" * 65_000
DOCUMENT = b'{"type": "message", "room": "lamps", "from": "Ada", "text": "%b"}' % b" ".join(
    b"%d lamps" % number for number in range(100)
)
MASK = b"\x01\x80\xfe\x33"
RSV1 = 0x40
TAIL = b"\x00\x00\xff\xff"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
# From the third message on a text that repeats itself is compressed to the same bytes each time.
SETTLED = 3
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


def is_accepted(answer: bytes) -> bool:
    return answer.startswith(b"HTTP/1.1 101 ") and answer.endswith(b"\r\n\r\n")


async def opened(app: App, fields: bytes = b"") -> Client:
    config = Config(app)
    client = Client(loop_of(AppLoader(config), config))
    await client.ask(HANDSHAKE + fields + b"\r\n", is_accepted)
    return client


@asynccontextmanager
async def echoed(payload: bytes, app: App = echo.app) -> AsyncIterator[Repeat]:
    """A WebSocket that has sent this text back once."""
    client = await opened(app)
    expected = frames.frame(frames.TEXT, payload)
    await client.ask(frames.frame(frames.TEXT, payload, MASK), expected.__eq__)
    yield client.converse
    await client.leave()


@asynccontextmanager
async def echoed_compressed(payload: bytes, app: App = echo.app) -> AsyncIterator[Repeat]:
    """The same with per-message-deflate, in contexts that have seen the text before."""
    client = await opened(app, DEFLATE)
    ours, theirs = zlib.compressobj(wbits=-15), zlib.decompressobj(-15)
    for _ in range(SETTLED):
        compressed = (ours.compress(payload) + ours.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
        sent = frames.frame(RSV1 | frames.TEXT, compressed, MASK)
        answer = await client.ask(sent, lambda answer: inflated(theirs.copy(), answer) == payload)
        inflated(theirs, answer)
    yield client.converse
    await client.leave()


def inflated(context: "zlib._Decompress", frame: bytes) -> bytes:
    """The payload of a server's compressed text frame that is shorter than 65536 bytes; b"" where it is none."""
    if frame[:1] != bytes((frames.FINAL | RSV1 | frames.TEXT,)):
        return b""
    begin = 4 if frame[1:2] == b"~" else 2
    return context.decompress(frame[begin:] + TAIL)


BENCHMARKS = (
    Benchmark("ws", "text message of 100 bytes and its echo", 60, partial(echoed, SMALL)),
    Benchmark("ws-large", "text message of 65 kB and its echo", 10, partial(echoed, LARGE)),
    Benchmark("ws-deflate", "text message of 1 kB and its echo, compressed", 20, partial(echoed_compressed, DOCUMENT)),
)
