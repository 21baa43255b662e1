"""Clients of a server that gives idle connections back: what they send comes at every moment of a hand-back.

Requests come after each other with a pause or at once, alone or pipelined, with bodies, whole or in two pieces; clients
close, half-close, abandon and reset. Every answer is checked. It all runs on the thread that calls `Clients.run`, on an
event loop of its own, with a task for each client.
"""

import asyncio
import random
import socket
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import uvloop

from loadtests.apps.handbacks import ANSWER, SIZE

# In seconds: how long an answer or an end may take, and how often it is told how far the clients are.
PATIENCE, TELL_SECONDS = 30.0, 1.0
# In seconds: how long a client waits before it asks again or sends the rest; before the last requests of a connection,
# so that they meet the hand-back; and now and then, so that the connection rests.
PAUSE, SHORT_PAUSE, LONG_PAUSE = (0.006, 0.025), (0.0, 0.002), (1.2, 3.0)
LAST, LONG_PAUSES = 4, 0.002
# In seconds: between two requests that hold their event loop.
BETWEEN_BLOCKS = 0.3
# How often a connection asks, and for how many answers at a time.
LIFE = (10, 120)
AT_A_TIME = (1, 1, 1, 1, 1, 1, 2, 4)
# Shares of what is sent: with a body, in two pieces.
WITH_BODY, IN_PIECES = 0.15, 0.15
BODY_SIZES = (1, 100, 3_000, 70_000)
NOISE = random.Random(1).randbytes(2 * max(BODY_SIZES))
ENDINGS = ("close", "half-close", "ask, half-close", "ask, close", "ask in part, close", "reset", "ask, reset")
RESET = struct.pack("ii", 1, 0)
MOST_FAILURES = 20


@dataclass
class Result:
    """The results of the clients so far. `hand_backs` counts answers by another thread than the one before.

    Each of those takes a hand-back; one after which the same thread answers is not seen.
    """

    hand_backs: int = 0
    answers: int = 0
    connections: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


class WrongAnswer(Exception):
    """An answer, or the end of a connection, that was not due."""


class Clients:
    """So many connections at a time, to a host and port or a Unix socket; one that has ended is replaced."""

    def __init__(self, address: tuple[str, int] | str, connections: int) -> None:
        self.result = Result()
        self._address = address
        self._connections = connections
        self._number = 0
        self._block_at = 0.0
        self._wanted, self._until = 0, 0.0

    @property
    def is_enough(self) -> bool:
        """True when the connections are to end, each as soon as it has its answers."""
        result = self.result
        is_over = result.hand_backs >= self._wanted or time.monotonic() >= self._until
        return is_over or len(result.failures) >= MOST_FAILURES

    def run(self, hand_backs: int, seconds: float, tell: Callable[[Result], None] = lambda result: None) -> Result:
        """Go on until so many hand-backs are seen, for so many seconds at most, and call `tell` every second."""
        self._wanted, self._until = hand_backs, time.monotonic() + seconds
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._run(tell))
        return self.result

    async def _run(self, tell: Callable[[Result], None]) -> None:
        began = time.monotonic()
        pending = {asyncio.create_task(self._connect_again_and_again()) for _ in range(self._connections)}
        while pending:
            ended, pending = await asyncio.wait(pending, timeout=TELL_SECONDS)
            await asyncio.gather(*ended)
            self.result.seconds = time.monotonic() - began
            tell(self.result)

    async def _connect_again_and_again(self) -> None:
        while not self.is_enough:
            self.result.connections += 1
            address, connect = self._address, asyncio.open_unix_connection
            opening = connect(address) if isinstance(address, str) else asyncio.open_connection(*address)
            connection = Connection(self, *await opening)
            try:
                await connection.live()
            except (OSError, EOFError, WrongAnswer) as error:
                where = f"on thread {connection.thread!r}, which awaits {connection.awaited!r}"
                self.result.failures.append(f"{time.monotonic():.6f}: {error!r} {where}")
            finally:
                connection.writer.close()

    def request(self) -> tuple[bytes, bytes]:
        """Return the next request, and how its answer begins."""
        self._number = number = self._number + 1
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
        head = b"%b %b/%d HTTP/1.1\r\nHost: x\r\n%b\r\n" % (method, path, number, fields)
        return head + sent, ANSWER % (number, zlib.crc32(body))


class Connection:
    """One connection, which belongs to the task that opened it."""

    def __init__(self, clients: Clients, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients = clients
        self._reader, self.writer = reader, writer
        self.thread = self.awaited = b""

    async def live(self) -> None:
        """Ask some times and end; raise OSError, EOFError or WrongAnswer where an answer is not as it should be."""
        for left in reversed(range(random.randint(*LIFE))):
            pause = SHORT_PAUSE if left < LAST else PAUSE
            await asyncio.sleep(random.uniform(*(LONG_PAUSE if random.random() < LONG_PAUSES else pause)))
            if self._reader.at_eof():
                raise WrongAnswer("an end that the client did not cause")
            if self._clients.is_enough:
                break
            await self._ask(random.choice(AT_A_TIME))
        async with asyncio.timeout(PATIENCE):
            await self._end(random.choice(ENDINGS))

    async def _ask(self, count: int) -> None:
        requests = [self._clients.request() for _ in range(count)]
        data, first = b"".join(sent for sent, _ in requests), 0
        if random.random() < IN_PIECES:
            first = random.randrange(1, len(data))
            self.writer.write(data[:first])
            await asyncio.sleep(random.uniform(*random.choice((SHORT_PAUSE, PAUSE))))
        self.writer.write(data[first:])
        async with asyncio.timeout(PATIENCE):
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
        self._clients.result.endings[how] += 1
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
