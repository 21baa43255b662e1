"""How much memory an idle WebSocket costs a server beyond an idle keep-alive connection.

`python -m loadtests.clients.idle PORT PID COUNT` is the client, a process of its own. It opens and closes a few
connections of both kinds first; then it opens COUNT keep-alive connections, each after one request, and COUNT
WebSockets beside them, so that nothing that has been freed is used again. Memory is the USS of the server's processes,
read before, between and after, the last time when every WebSocket has answered a ping.
"""

import json
import os
import resource
import select
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from loadtests.clients import frames, process
from loadtests.errors import LoadTestError
from loadtests.servers import memory

WARM_UP_CONNECTIONS = 50
SETTLE_SECONDS = 1.0
PING_DEADLINE = 60.0
# Files that client and server have open beside the connections.
OTHER_FILES = 200


@dataclass(frozen=True)
class IdleResult:
    """The memory in MB, and how many pings the WebSockets have answered."""

    before: float
    with_keep_alive: float
    with_websockets: float
    pings: int


class IdleWebSocket:
    """A WebSocket that only answers pings."""

    def __init__(self, port: int) -> None:
        self.socket, self._buffer = frames.open_websocket(port)
        self.pings = 0

    def receive(self) -> None:
        """The socket can be read; raises LoadTestError where something else than a ping comes."""
        data = self.socket.recv(65536)
        if not data:
            raise LoadTestError("the server closed an idle WebSocket")
        self._buffer += data
        while (frame := frames.take(self._buffer)) is not None:
            if frame.opcode != frames.PING:
                raise LoadTestError(f"the server sent an idle WebSocket a frame with opcode {frame.opcode}")
            self.pings += 1
            self.socket.sendall(frames.frame(frames.PONG, frame.payload, os.urandom(4)))


class Connections(ExitStack):
    """Connections of both kinds, which it closes in the end."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self._poll = self.enter_context(select.epoll())
        self._websockets: dict[int, IdleWebSocket] = {}

    @property
    def pings(self) -> list[int]:
        """How many pings each WebSocket has answered."""
        return [opened.pings for opened in self._websockets.values()]

    def open_keep_alive(self) -> socket.socket:
        """One more connection, which has got its answer; raises LoadTestError where the server closes it."""
        connected = self.enter_context(socket.create_connection(("127.0.0.1", self._port), 30))
        connected.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head, _ = frames.read_head(connected)
        if not head.startswith(b"HTTP/1.1 200") or b"connection: close" in head.lower():
            raise LoadTestError(f"the server does not keep a connection: {head[:80]!r}")
        return connected

    def open_websocket(self) -> None:
        opened = IdleWebSocket(self._port)
        self.enter_context(opened.socket)
        self._websockets[opened.socket.fileno()] = opened
        self._poll.register(opened.socket, select.EPOLLIN)
        self.answer(0)

    def answer(self, seconds: float) -> None:
        """Answers the pings that have come or come within that time."""
        until = time.monotonic() + seconds
        while True:
            for descriptor, _ in self._poll.poll(max(0.0, until - time.monotonic())):
                self._websockets[descriptor].receive()
            if time.monotonic() >= until:
                return


def measure(port: int, pid: int, count: int) -> IdleResult:
    """Opens the connections, reads the server's memory, and closes them.

    Raises LoadTestError where the server closes a connection, or does not ping one.
    """
    allow_files(2 * count)
    with Connections(port) as first:
        for _ in range(WARM_UP_CONNECTIONS):
            first.open_keep_alive()
            first.open_websocket()
    time.sleep(SETTLE_SECONDS)
    before = memory.of_tree(pid)["USS MB"]
    with Connections(port) as connections:
        for _ in range(count):
            connections.open_keep_alive()
        time.sleep(SETTLE_SECONDS)
        between = memory.of_tree(pid)["USS MB"]
        for _ in range(count):
            connections.open_websocket()
        wait_for_pings(connections)
        after = memory.of_tree(pid)["USS MB"]
        return IdleResult(before, between, after, sum(connections.pings))


def wait_for_pings(connections: Connections) -> None:
    deadline = time.monotonic() + PING_DEADLINE
    while not all(connections.pings):
        if time.monotonic() > deadline:
            raise LoadTestError(f"{connections.pings.count(0)} WebSockets got no ping in {PING_DEADLINE:.0f} s")
        connections.answer(SETTLE_SECONDS)


def allow_files(count: int) -> None:
    """Lets this process, and those that it starts, open so many connections; raises LoadTestError."""
    wanted = count + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise LoadTestError(f"{count} connections need {wanted} open files, the limit is {hard}")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def as_many_as_fit(count: int) -> int:
    """So many connections, or as many of them as the hard limit of open files allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return count if hard == resource.RLIM_INFINITY else min(count, hard - OTHER_FILES)


def run(port: int, pid: int, count: int) -> IdleResult:
    """Runs the client as a process; raises LoadTestError where it fails."""
    return IdleResult(**process.run("idle", port, pid, count))


def kilobytes(result: IdleResult, count: int) -> dict[str, float]:
    """What one connection of each kind costs, and the difference."""
    keep_alive = (result.with_keep_alive - result.before) * 1000 / count
    websocket = (result.with_websockets - result.with_keep_alive) * 1000 / count
    return {
        "kB beyond": websocket - keep_alive,
        "kB per WebSocket": websocket,
        "kB per keep-alive connection": keep_alive,
    }


if __name__ == "__main__":
    print(json.dumps(asdict(measure(*map(int, sys.argv[1:])))))
