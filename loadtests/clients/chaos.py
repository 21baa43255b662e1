"""Clients that vanish, stall and reset in the middle of whatever they ask for.

`python -m loadtests.clients.chaos PORT USERS SECONDS` is the client, a process of its own with a thread for each user,
over raw sockets. What each sends is well-formed as far as it goes. It prints a `ChaosResult` as JSON, at SIGTERM as
well.
"""

import json
import os
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field

from loadtests.clients import frames, until_stopped
from loadtests.errors import LoadTestError

PATIENCE = 30.0
# So small that a server which sends a large body soon has to wait for the client.
RECEIVE_BUFFER = 4096
LONGEST_STALL = 3.0
BETWEEN_SECONDS = 0.1
BODY = 300_000
MESSAGES = 200

VANISH, STALL, RESET = "vanish", "stall", "reset"


@dataclass(frozen=True)
class Refused:
    """The server took no connection; in seconds since the epoch."""

    time: float
    error: str


@dataclass
class ChaosResult:
    """How often each misdeed was committed on each kind of traffic, and when the server took no connection."""

    misdeeds: dict[str, int] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)


class Unconnected(Exception):
    """The server takes no connection."""


def request(method: str, path: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *fields, "", ""]).encode() + body


def chunked(body: bytes) -> bytes:
    """The body in ten chunks."""
    step = len(body) // 10
    pieces = [body[begin : begin + step] for begin in range(0, len(body), step)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def messages() -> bytes:
    """The frames of a chat, a quarter of a megabyte."""
    text = json.dumps({"text": "y" * 1000}).encode()
    return frames.frame(frames.TEXT, text, os.urandom(4)) * MESSAGES


HANDSHAKE = request(
    "GET",
    "/chat?room=chaos",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
# What is sent of each kind of traffic; of the WebSocket that is after the handshake.
TRAFFIC: dict[str, Callable[[], bytes]] = {
    "page": lambda: request("GET", "/"),
    "upload": lambda: request("POST", "/upload", f"Content-Length: {BODY}", body=b"x" * BODY),
    "upload in chunks": lambda: request("POST", "/upload", "Transfer-Encoding: chunked", body=chunked(b"x" * BODY)),
    "download": lambda: request("GET", f"/download?bytes={10 * BODY}"),
    "stream": lambda: request("GET", "/stream?lines=20000"),
    "events": lambda: request("GET", "/events?count=40&interval=0.05"),
    "WebSocket": messages,
}


def misbehave(port: int, kind: str, misdeed: str) -> None:
    """Begins as any client would, and commits the misdeed somewhere on the way.

    Raises Unconnected, and OSError or LoadTestError where the server ends the connection before.
    """
    data = TRAFFIC[kind]()
    cut = random.choice((len(data), random.randrange(len(data))))
    with closing(connected(port)) as client:
        if kind == "WebSocket":
            client.sendall(HANDSHAKE)
            frames.read_head(client)
        client.sendall(data[:cut])
        if misdeed == STALL:
            time.sleep(random.uniform(0, LONGEST_STALL))
            client.sendall(data[cut:])
            cut = len(data)
        if cut == len(data):
            client.recv(random.choice((1, 100, 65536)))
        if misdeed == STALL:
            time.sleep(random.uniform(0, LONGEST_STALL))
            client.recv(65536)
        elif misdeed == RESET:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def connected(port: int) -> socket.socket:
    """A socket with a small buffer; raises Unconnected where the server takes no connection."""
    client = socket.socket()
    client.settimeout(PATIENCE)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    try:
        client.connect(("127.0.0.1", port))
    except OSError as error:
        client.close()
        raise Unconnected(f"{type(error).__name__}: {error}") from error
    return client


class Clients:
    """All users of one process. Each thread adds to `result`."""

    def __init__(self, port: int, stopped: until_stopped.Stopped) -> None:
        self.result = ChaosResult()
        self._lock = threading.Lock()
        self._port = port
        self._stopped = stopped

    def live(self) -> None:
        """One user's life, to be run by a thread of its own."""
        while not self._stopped.wait(random.uniform(0, 2 * BETWEEN_SECONDS)):
            kind, misdeed = random.choice(list(TRAFFIC)), random.choice((VANISH, STALL, RESET))
            try:
                misbehave(self._port, kind, misdeed)
            except Unconnected as error:
                self.result.refused.append(Refused(time.time(), str(error)))
            except (OSError, LoadTestError):
                # Neither side is to blame: the server may be made to die. Whether it serves is for others to judge.
                self._count(f"{kind}, cut short")
            else:
                self._count(f"{kind}, {misdeed}")

    def _count(self, what: str) -> None:
        with self._lock:
            self.result.misdeeds[what] = self.result.misdeeds.get(what, 0) + 1


def main(port: int, users: int, seconds: float) -> ChaosResult:
    """Runs so many users for that long, or until SIGTERM."""
    with until_stopped.threads(seconds) as (stopped, start):
        clients = Clients(port, stopped)
        for _ in range(users):
            start(clients.live)
    return clients.result


if __name__ == "__main__":
    print(json.dumps(asdict(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))))
