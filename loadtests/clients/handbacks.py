"""Clients of a server that gives idle connections back: what they send comes at every moment of a hand-back.

Requests come after each other with a pause or at once, alone or pipelined, with bodies, whole or in two pieces; clients
close, half-close, abandon and reset. Every answer is checked. It all runs on the thread that calls `Clients.run`, which
owns the connections and waits for all of them by one epoll.
"""

import heapq
import random
import select
import socket
import struct
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from loadtests.apps.handbacks import ANSWER, SIZE

# In seconds: how long an answer may take, and how often it is looked for those that have not come.
PATIENCE, LOOK = 30.0, 1.0
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
    """What the clients have seen so far. `hand_backs` counts answers by another thread than the one before.

    Each of those takes a hand-back; one after which the same thread answers is not seen.
    """

    hand_backs: int = 0
    answers: int = 0
    connections: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


class Connection:
    """One connection: the answers that are to come, in order, and what has not been sent yet."""

    def __init__(self, address: tuple[str, int] | str) -> None:
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address)
        self.socket.setblocking(False)
        self.expected: deque[bytes] = deque()
        self.received = self.unsent = self.thread = b""
        self.asks_left = random.randint(*LIFE)
        self.is_open, self.is_half_closed = True, False
        self.sent_at = 0.0
        # For whoever looks for the cause of a failure.
        self.past: deque[str] = deque(maxlen=6)

    def pause(self) -> float:
        """How long to wait before the next request."""
        short_or_not = SHORT_PAUSE if self.asks_left < LAST else PAUSE
        return random.uniform(*(LONG_PAUSE if random.random() < LONG_PAUSES else short_or_not))


class Clients:
    """So many connections at a time, to a host and port or a Unix socket; one that has ended is replaced."""

    def __init__(self, address: tuple[str, int] | str, connections: int) -> None:
        self.result = Result()
        self._address = address
        self._wanted = connections
        self._poll = select.epoll()
        self._open: dict[int, Connection] = {}
        self._due: list[tuple[float, int, Connection]] = []
        self._number = 0
        self._block_at = 0.0
        self._is_ending = False

    def run(self, hand_backs: int, seconds: float, tell: Callable[[Result], None] = lambda result: None) -> Result:
        """Until so many hand-backs are seen, for so many seconds at most; `tell` hears every second how far it is.

        Then the connections end, each as soon as it has its answers.
        """
        result, began = self.result, time.monotonic()
        look_at = began + LOOK
        for _ in range(self._wanted):
            self._connect()
        while self._open:
            now = time.monotonic()
            while self._due and (self._is_ending or self._due[0][0] <= now):
                self._go_on(heapq.heappop(self._due)[2])
            until_due = self._due[0][0] - time.monotonic() if self._due else LOOK
            for descriptor, _ in self._poll.poll(max(0.0, until_due)):
                self._read(self._open[descriptor])
            result.seconds = now - began
            if result.hand_backs >= hand_backs or result.seconds > seconds or len(result.failures) >= MOST_FAILURES:
                self._is_ending = True
            if now >= look_at:
                look_at = now + LOOK
                self._give_up(now - PATIENCE)
                tell(result)
        self._poll.close()
        return result

    def _connect(self) -> None:
        connection = Connection(self._address)
        self._open[connection.socket.fileno()] = connection
        self._poll.register(connection.socket, select.EPOLLIN)
        self.result.connections += 1
        self._later(connection, random.uniform(*PAUSE))

    def _later(self, connection: Connection, seconds: float) -> None:
        self._number += 1
        heapq.heappush(self._due, (time.monotonic() + seconds, self._number, connection))

    def _go_on(self, connection: Connection) -> None:
        if not connection.is_open:
            return
        if connection.unsent:
            self._send(connection, connection.unsent, len(connection.unsent))
        elif connection.asks_left == 0 or self._is_ending:
            self._end(connection, random.choice(ENDINGS))
        else:
            connection.asks_left -= 1
            data = b"".join([self._request(connection) for _ in range(random.choice(AT_A_TIME))])
            self._send(connection, data, random.randrange(1, len(data)) if random.random() < IN_PIECES else len(data))

    def _request(self, connection: Connection) -> bytes:
        """The next request, whose answer is expected."""
        self._number = number = self._number + 1
        body, path, begin = b"", b"", random.randrange(len(NOISE) // 2)
        if random.random() < WITH_BODY:
            body = NOISE[begin : begin + random.choice(BODY_SIZES)]
        elif time.monotonic() > self._block_at:
            self._block_at = time.monotonic() + BETWEEN_BLOCKS
            path = b"/block"
        connection.expected.append(ANSWER % (number, zlib.crc32(body)))
        if not body:
            return b"GET %b/%d HTTP/1.1\r\nHost: x\r\n\r\n" % (path, number)
        if begin % 2:
            chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            return b"POST /%d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%b" % (number, chunked)
        return b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (number, len(body), body)

    def _send(self, connection: Connection, data: bytes, first: int) -> None:
        """Sends so many bytes, or as many of them as the system takes; the rest later."""
        connection.sent_at = time.monotonic()
        try:
            sent = connection.socket.send(data[:first])
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._fail(connection, f"{error!r} while it is sent to")
            return
        connection.past.append(f"sent {sent} of {len(data)} bytes at {connection.sent_at:.6f}")
        connection.unsent = data[sent:]
        if connection.unsent:
            self._later(connection, random.uniform(*random.choice((SHORT_PAUSE, PAUSE))))

    def _end(self, connection: Connection, how: str) -> None:
        """Ends a connection that has all of its answers."""
        self.result.endings[how] += 1
        if how.startswith("ask"):
            data = self._request(connection)
            self._send(connection, data, len(data) // 2 if "in part" in how else len(data))
        if not connection.is_open:
            return
        if how.endswith("half-close") and not connection.unsent:
            connection.past.append("half-closed")
            connection.is_half_closed, connection.sent_at = True, time.monotonic()
            connection.socket.shutdown(socket.SHUT_WR)
            return
        if how.endswith("reset"):
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        connection.is_open = False
        del self._open[connection.socket.fileno()]
        connection.socket.close()
        if not self._is_ending:
            self._connect()

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(65536)
        except OSError as error:
            self._fail(connection, f"{error!r} while it is read from")
            return
        if data:
            self._take(connection, connection.received + data)
        elif connection.is_half_closed and not connection.expected:
            self._close(connection)
        else:
            self._fail(connection, "an end that the client did not cause")

    def _take(self, connection: Connection, data: bytes) -> None:
        """Checks the answers that have come whole; after the last one the client goes on."""
        while connection.expected and (end := data.find(b"\r\n\r\n") + 4) > 3 and len(data) >= end + SIZE:
            expected = connection.expected.popleft()
            if not data.startswith(b"HTTP/1.1 200 ") or not data.startswith(expected, end):
                self._fail(connection, f"not the answer {expected!r}: {data[: end + SIZE]!r}")
                return
            thread = data[end + len(expected) : end + SIZE]
            self.result.answers += 1
            self.result.hand_backs += thread != connection.thread != b""
            connection.thread = thread
            data = data[end + SIZE :]
        connection.received = data
        if data and not connection.expected:
            self._fail(connection, f"an answer to nothing: {data[:200]!r}")
        elif not connection.expected and not connection.is_half_closed:
            self._later(connection, connection.pause())

    def _give_up(self, sent_before: float) -> None:
        for connection in list(self._open.values()):
            if (connection.expected or connection.is_half_closed) and connection.sent_at < sent_before:
                self._fail(connection, "no answer, or no end")

    def _fail(self, connection: Connection, what: str) -> None:
        past = f"on {connection.thread!r}, {'; '.join(connection.past)}"
        self.result.failures.append(f"{time.monotonic():.6f}: {what}; awaits {list(connection.expected)}, {past}")
        self._close(connection)
