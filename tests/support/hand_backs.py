"""Clients of a server that gives idle connections back: what they send comes at every moment of a hand-back.

Requests come after a pause or at once, alone or pipelined, with bodies, whole or in two pieces; clients close,
half-close, abandon and reset. `app` answers with the number at the end of the path, the CRC of the body, its thread,
in `SIZE` bytes; `/block` holds its event loop before that. The clients run on the thread that calls `Clients.run`, on
an event loop of its own, with a task for each.
"""

import asyncio
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from support.waiting import DEADLINE

ANSWER = b"%012d %08x "
SIZE = len(ANSWER % (0, 0)) + 16
HEADERS = [(b"content-length", b"%d" % SIZE)]
# Seconds for which `/block` holds a loop, and between two such requests.
BLOCKED_SECONDS, BETWEEN_BLOCKS = 0.04, 0.3
# One answer in so many comes in a later turn of the loop.
LATE = 8
# In seconds: how long a client waits before it asks again or sends the rest, and before the last requests of a
# connection, so that they meet the hand-back.
PAUSE, SHORT_PAUSE, LAST = (0.006, 0.025), (0.0, 0.002), 4
# How often a connection asks, and for how many answers at a time.
LIFE, AT_A_TIME = (10, 120), (1, 1, 1, 1, 1, 1, 2, 4)
# Shares of what is sent: with a body, in two pieces.
WITH_BODY, IN_PIECES = 0.15, 0.15
BODY_SIZES = (1, 100, 3_000, 70_000)
NOISE = random.Random(1).randbytes(2 * max(BODY_SIZES))
ENDINGS = ("close", "half-close", "ask, half-close", "ask, close", "ask in part, close", "reset", "ask, reset")
RESET = struct.pack("ii", 1, 0)
MOST_FAILURES = 20


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing to a client that has gone."""
    kind, _, name = scope["path"].rpartition("/")
    number, crc, more = int(name), 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        crc, more = zlib.crc32(message.get("body", b""), crc), message.get("more_body", False)
    if kind == "/block":
        time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251 - holding the loop is what this path is for
    elif number % LATE == 0:
        await asyncio.sleep(0.001)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER % (number, crc) + b"%016x" % threading.get_ident()})


@dataclass
class Result:
    """The results of the clients so far. `hand_backs` counts answers by another thread than the one before.

    Each of those takes a hand-back; one after which the same thread answers is not seen.
    """

    hand_backs: int = 0
    answers: int = 0
    failures: list[str] = field(default_factory=list)


class WrongAnswer(Exception):
    """An answer, or the end of a connection, that was not due."""


class Clients:
    """So many connections at a time; one that has ended is replaced."""

    def __init__(self, host: str, port: int, connections: int) -> None:
        self.result = Result()
        self._host, self._port, self._connections = host, port, connections
        self._number, self._wanted = 0, 0
        self._block_at = self._until = 0.0

    @property
    def is_enough(self) -> bool:
        """True when the connections are to end, each as soon as it has its answers."""
        is_over = self.result.hand_backs >= self._wanted or time.monotonic() >= self._until
        return is_over or len(self.result.failures) >= MOST_FAILURES

    def run(self, hand_backs: int, seconds: float, every_second: Callable[[], None]) -> Result:
        """Go on until so many hand-backs are seen, for so many seconds at most, and call `every_second`."""
        self._wanted, self._until = hand_backs, time.monotonic() + seconds
        asyncio.run(self._run(every_second))
        return self.result

    async def _run(self, every_second: Callable[[], None]) -> None:
        pending = {asyncio.create_task(self._connect_again_and_again()) for _ in range(self._connections)}
        while pending:
            every_second()
            ended, pending = await asyncio.wait(pending, timeout=1)
            await asyncio.gather(*ended)

    async def _connect_again_and_again(self) -> None:
        while not self.is_enough:
            connection = Connection(self, *await asyncio.open_connection(self._host, self._port))
            try:
                await connection.live()
            except (OSError, EOFError, WrongAnswer) as error:
                where = f"on thread {connection.thread!r}, which awaits {connection.awaited!r}"
                self.result.failures.append(f"{error!r} {where}")
            finally:
                connection.writer.close()
                # Else an error of the connection may be reported as nobody's when it is collected.
                with suppress(OSError):
                    await connection.writer.wait_closed()

    def request(self) -> tuple[bytes, bytes]:
        """Return the next request, and how its answer begins."""
        self._number += 1
        method, path, fields, sent, body = b"GET", b"", b"", b"", b""
        if random.random() < WITH_BODY:
            begin = random.randrange(len(NOISE) // 2)
            body = sent = NOISE[begin : begin + random.choice(BODY_SIZES)]
            method, fields = b"POST", b"Content-Length: %d\r\n" % len(body)
            if begin % 2:
                fields, sent = b"Transfer-Encoding: chunked\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        elif time.monotonic() > self._block_at:
            self._block_at = time.monotonic() + BETWEEN_BLOCKS
            path = b"/block"
        head = b"%b %b/%d HTTP/1.1\r\nHost: x\r\n%b\r\n" % (method, path, self._number, fields)
        return head + sent, ANSWER % (self._number, zlib.crc32(body))


class Connection:
    """One connection, which belongs to the task that opened it."""

    def __init__(self, clients: Clients, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients, self._reader, self.writer = clients, reader, writer
        self.thread = self.awaited = b""

    async def live(self) -> None:
        """Ask some times and end; raise OSError, EOFError or WrongAnswer where an answer is not as it should be."""
        for left in reversed(range(random.randint(*LIFE))):
            await asyncio.sleep(random.uniform(*(SHORT_PAUSE if left < LAST else PAUSE)))
            if self._reader.at_eof():
                raise WrongAnswer("an end that the client did not cause")
            if self._clients.is_enough:
                break
            await self._ask(random.choice(AT_A_TIME))
        async with asyncio.timeout(DEADLINE):
            await self._end(random.choice(ENDINGS))

    async def _ask(self, count: int) -> None:
        requests = [self._clients.request() for _ in range(count)]
        data, first = b"".join(sent for sent, _ in requests), 0
        if random.random() < IN_PIECES:
            first = random.randrange(1, len(data))
            self.writer.write(data[:first])
            await asyncio.sleep(random.uniform(*random.choice((SHORT_PAUSE, PAUSE))))
        self.writer.write(data[first:])
        async with asyncio.timeout(DEADLINE):
            await self.writer.drain()
            for _, self.awaited in requests:
                await self._take()

    async def _take(self) -> None:
        """Take the answer that is awaited."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        body = await self._reader.readexactly(SIZE)
        if not head.startswith(b"HTTP/1.1 200 ") or not body.startswith(self.awaited):
            raise WrongAnswer(f"another answer: {head + body!r}")
        thread = body[len(self.awaited) :]
        self._clients.result.answers += 1
        self._clients.result.hand_backs += thread != self.thread != b""
        self.thread = thread

    async def _end(self, how: str) -> None:
        """End the connection; only after a half-close there may be one more answer to come."""
        sent, self.awaited = self._clients.request() if how.startswith("ask") else (b"", b"")
        self.writer.write(sent[: len(sent) // 2] if "in part" in how else sent)
        if how.endswith("half-close"):
            self.writer.write_eof()
            if sent:
                await self._take()
            if rest := await self._reader.read():
                raise WrongAnswer(f"an answer to nothing: {rest[:200]!r}")
        elif how.endswith("reset"):
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.writer.transport.abort()
