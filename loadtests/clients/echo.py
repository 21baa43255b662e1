"""The client that counts how many WebSocket messages a second a server sends back.

On each connection one text message is in flight: when it has come back whole, it is sent again. The masked frame is
made once for each connection, and an answer that arrives in one piece is compared as a whole, so a message costs the
client two system calls and little more. Messages that are in flight at the end are not counted.
"""

import select
import socket
import time
from contextlib import ExitStack
from typing import Any

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from loadtests.clients import process
from loadtests.errors import LoadTestError
from loadtests.generators.result import LoadResult

CONNECTIONS = 32
POLL_SECONDS = 0.1
RECEIVED_AT_ONCE = 262_144
# For how many seconds more a message is waited for where none has come back in time.
PATIENCE_SECONDS = 30.0


class EchoConnection:
    """One WebSocket with one message in flight."""

    def __init__(self, port: int, size: int) -> None:
        """Open it; raises OSError, or LoadTestError where the server does not accept."""
        payload = (b"The quick brown fox jumps over the lazy dog. " * (size // 45 + 1))[:size]
        self.messages = 0
        self._message = Frame(Opcode.TEXT, payload)
        self._sent, self._expected = self._message.serialize(mask=True), self._message.serialize(mask=False)
        self._parts = b""
        self._protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/"), max_size=None)
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A whole message fits, so sending it does not wait for the server.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, max(65536, 2 * size))
        self._protocol.send_request(self._protocol.connect())
        while self._protocol.state is State.CONNECTING and not self._protocol.handshake_exc:
            self._answer()
            self._protocol.receive_data(self.socket.recv(RECEIVED_AT_ONCE))
        if self._protocol.state is not State.OPEN:
            self.socket.close()
            raise LoadTestError(f"the server does not accept a WebSocket: {self._protocol.handshake_exc}")
        self._protocol.events_received()

    def send(self) -> None:
        """Send the message."""
        self.socket.sendall(self._sent)

    def receive(self) -> None:
        """Read what has come; raises LoadTestError where that is something else than the message."""
        data = self.socket.recv(RECEIVED_AT_ONCE)
        # What begins within a frame never looks like the whole of one.
        if data == self._expected:
            self.messages += 1
            self.send()
            return
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame) and frame.opcode in (Opcode.TEXT, Opcode.CONT):
                self._take(frame)
        self._answer()
        if not data or self._protocol.state is not State.OPEN:
            raise LoadTestError("the server closed a WebSocket")

    def _take(self, frame: Frame) -> None:
        self._parts += frame.data
        if frame.fin:
            if self._parts != self._message.data:
                raise LoadTestError(f"the server sent another message back: {self._parts[:40]!r}")
            self._parts = b""
            self.messages += 1
            self.send()

    def _answer(self) -> None:
        """Send what the protocol has to say: the handshake, and pongs."""
        self.socket.sendall(b"".join(self._protocol.data_to_send()))


def drive(poll: select.epoll, connections: dict[int, EchoConnection], seconds: float) -> tuple[float, list[int]]:
    """Send and receive for that long, longer where nothing has come back by then.

    Return how long it was, and the messages that each connection has got meanwhile.
    """
    began, before = time.perf_counter(), [connection.messages for connection in connections.values()]
    gained = [0]
    while (took := time.perf_counter() - began) < seconds or (took < seconds + PATIENCE_SECONDS and not any(gained)):
        for descriptor, _ in poll.poll(POLL_SECONDS):
            connections[descriptor].receive()
        gained = [one.messages - earlier for one, earlier in zip(connections.values(), before, strict=True)]
    return took, gained


def measure(port: int, connections: int, size: int, warm_up: float, seconds: float) -> dict[str, Any]:
    """Warm the server up, measure on the same connections, and close them."""
    with ExitStack() as stack:
        poll = stack.enter_context(select.epoll())
        opened = {}
        for _ in range(connections):
            connection = EchoConnection(port, size)
            stack.enter_context(connection.socket)
            opened[connection.socket.fileno()] = connection
            poll.register(connection.socket, select.EPOLLIN)
            connection.send()
        drive(poll, opened, warm_up)
        cpu, began = time.process_time(), time.time()
        took, gained = drive(poll, opened, seconds)
        share = (time.process_time() - cpu) / took
    return {"gained": gained, "seconds": took, "cpu_share": round(share, 6), "began": began}


def run(port: int, size: int, warm_up: float, seconds: float) -> LoadResult:
    """Run the client as a process; raises LoadTestError where it fails or nothing came back."""
    arguments = {"port": port, "connections": CONNECTIONS, "size": size, "warm_up": warm_up, "seconds": seconds}
    told = process.run("echo", warm_up + seconds, **arguments)
    messages, silent = sum(told["gained"]), told["gained"].count(0)
    if not messages:
        raise LoadTestError("no message came back")
    return LoadResult(
        command=process.command("echo", **arguments),
        requests=messages,
        seconds=told["seconds"],
        percentiles={},
        errors={"connection without a message back": silent} if silent else {},
        began=told["began"],
        cpu_share=told["cpu_share"],
        noun="messages",
    )
