"""How many WebSocket messages a second a server sends back.

`python -m loadtests.clients.echo PORT CONNECTIONS SIZE WARM_UP SECONDS` is the client, a process of its own. On each
connection one text message is in flight: when it has come back whole, it is sent again. The masked frame is made once
for each connection, and an answer that arrives in one piece is compared as a whole, so a message costs the client two
system calls and little more; `client_cpu_share` of the result tells how busy it was. Messages that are in flight at the
end are not counted.
"""

import json
import os
import select
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from socket import SO_SNDBUF, SOL_SOCKET

from loadtests.clients import frames, process
from loadtests.errors import LoadTestError

CONNECTIONS = 32
POLL_SECONDS = 0.1
# For how many seconds more a message is waited for where none has come back in time.
PATIENCE = 30.0
RECEIVED_AT_ONCE = 262_144


@dataclass(frozen=True)
class EchoResult:
    """What came back within the seconds of the measurement; `client_cpu_share` is of one CPU."""

    messages: int
    seconds: float
    messages_per_second: float
    client_cpu_share: float
    silent_connections: int


class EchoConnection:
    """One WebSocket with one message in flight."""

    def __init__(self, port: int, size: int) -> None:
        self.socket, self._buffer = frames.open_websocket(port)
        # A whole message fits, so sending it does not wait for the server.
        self.socket.setsockopt(SOL_SOCKET, SO_SNDBUF, max(65536, 2 * size))
        self._key = os.urandom(4)
        self._payload = payload(size)
        self._sent = frames.frame(frames.TEXT, self._payload, self._key)
        self._expected = frames.frame(frames.TEXT, self._payload)
        self._parts = b""
        self.messages = 0

    def send(self) -> None:
        self.socket.sendall(self._sent)

    def receive(self) -> None:
        """The socket can be read; raises LoadTestError where something else than the message comes back."""
        data = self.socket.recv(RECEIVED_AT_ONCE)
        if data == self._expected and not self._buffer:
            self.messages += 1
            self.socket.sendall(self._sent)
            return
        if not data:
            raise LoadTestError("the server closed a WebSocket")
        self._buffer += data
        while (frame := frames.take(self._buffer)) is not None:
            self._take(frame)

    def _take(self, frame: frames.Frame) -> None:
        if frame.opcode == frames.PING:
            self.socket.sendall(frames.frame(frames.PONG, frame.payload, self._key))
        elif frame.opcode in (frames.TEXT, frames.CONTINUATION):
            self._parts += frame.payload
            if frame.is_final:
                self._whole()
        else:
            raise LoadTestError(f"the server sent a frame with opcode {frame.opcode}: {frame.payload[:40]!r}")

    def _whole(self) -> None:
        if self._parts != self._payload:
            raise LoadTestError(f"the server sent another message back: {self._parts[:40]!r}")
        self._parts = b""
        self.messages += 1
        self.send()


def payload(size: int) -> bytes:
    """Printable text of so many bytes."""
    return (b"The quick brown fox jumps over the lazy dog. " * (size // 45 + 1))[:size]


def drive(poll: select.epoll, connections: dict[int, EchoConnection], seconds: float) -> float:
    """Sends and receives for that long, and longer where nothing has come back by then; returns how long it was."""
    began = time.perf_counter()
    until = began + seconds
    before = counts(connections.values())
    while (now := time.perf_counter()) < until or (now < until + PATIENCE and counts(connections.values()) == before):
        for descriptor, _ in poll.poll(POLL_SECONDS):
            connections[descriptor].receive()
    return now - began


def measure(port: int, count: int, size: int, warm_up: float, seconds: float) -> EchoResult:
    """Opens the connections, warms the server up, measures on the same connections, and closes them."""
    with ExitStack() as stack:
        poll = stack.enter_context(select.epoll())
        connections = {}
        for _ in range(count):
            connection = EchoConnection(port, size)
            stack.enter_context(connection.socket)
            connections[connection.socket.fileno()] = connection
            poll.register(connection.socket, select.EPOLLIN)
            connection.send()
        drive(poll, connections, warm_up)
        before = counts(connections.values())
        cpu_before = time.process_time()
        took = drive(poll, connections, seconds)
        cpu = time.process_time() - cpu_before
        gained = [after - earlier for earlier, after in zip(before, counts(connections.values()), strict=True)]
    return EchoResult(sum(gained), took, sum(gained) / took, round(cpu / took, 6), gained.count(0))


def counts(connections: Iterable[EchoConnection]) -> list[int]:
    return [connection.messages for connection in connections]


def run(port: int, size: int, warm_up: float, seconds: float) -> EchoResult:
    """Runs the client as a process; raises LoadTestError where it fails or nothing came back."""
    told = process.run("echo", port, CONNECTIONS, size, warm_up, seconds, seconds=warm_up + seconds)
    result = EchoResult(**told)
    if not result.messages:
        raise LoadTestError("no message came back")
    return result


if __name__ == "__main__":
    arguments = sys.argv[1:]
    measured = measure(*map(int, arguments[:3]), *map(float, arguments[3:]))
    print(json.dumps(asdict(measured)))
