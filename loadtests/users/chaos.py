"""A user that vanishes, stalls and resets in the middle of whatever it asks for, over raw sockets."""

import random
import socket
import struct
import time
from contextlib import suppress
from urllib.parse import urlsplit

from locust import task
from websocket import ABNF

from loadtests.users.visitor import Visitor

LONGEST_STALL_SECONDS = 3.0
# So small that a server which sends a large body soon has to wait for the client.
RECEIVE_BUFFER_BYTES = 4096
BODY = b"x" * 300_000
MISDEEDS = VANISH, STALL, RESET = "vanish", "stall", "reset"
LINGER_FOR_NOTHING = struct.pack("ii", 1, 0)


def request(method: str, path: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *fields, "", ""]).encode() + body


CHUNKED = b"%x\r\n%b\r\n" % (len(BODY) // 10, BODY[: len(BODY) // 10]) * 10 + b"0\r\n\r\n"
OPENING = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
HANDSHAKE = request("GET", "/chat?room=chaos", *OPENING, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
WEBSOCKET = "WebSocket"
# What is sent of each kind of traffic; of the WebSocket that is after the handshake.
TRAFFIC = {
    "page": request("GET", "/"),
    "upload": request("POST", "/upload", f"Content-Length: {len(BODY)}", body=BODY),
    "upload in chunks": request("POST", "/upload", "Transfer-Encoding: chunked", body=CHUNKED),
    "download": request("GET", "/download?bytes=3000000"),
    "events": request("GET", "/events?count=40&interval=0.05"),
    WEBSOCKET: ABNF.create_frame("y" * 1000, ABNF.OPCODE_TEXT).format() * 200,
}


class ChaosUser(Visitor):
    """One misdeed after the other, each on a connection of its own; what it sends is well-formed as far as it goes.

    Think time up to 200 ms. Recorded are the kind of traffic and the misdeed; only who cannot connect has failed.
    """

    think_time = (0.0, 0.2)
    # As many as all others of a soak beside the SteadyUser.
    weight = 6

    @task
    def connect(self) -> None:
        kind, misdeed, url = random.choice(list(TRAFFIC)), random.choice(MISDEEDS), urlsplit(str(self.host))
        with (
            self.timed("chaos", f"chaos: {kind}, {misdeed}"),
            socket.create_connection((url.hostname, url.port), self.network_timeout) as client,
            # Neither side is to blame: the server may be made to die. Whether it serves is for others to judge.
            suppress(OSError),
        ):
            misbehave(client, kind, misdeed)


def misbehave(client: socket.socket, kind: str, misdeed: str) -> None:
    """Begin as any client would, and commit the misdeed somewhere on the way.

    Raises OSError where the server ends the connection before.
    """
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    data = TRAFFIC[kind]
    cut = random.choice((len(data), random.randrange(len(data))))
    if kind == WEBSOCKET:
        client.sendall(HANDSHAKE)
        client.recv(RECEIVE_BUFFER_BYTES)
    client.sendall(data[:cut])
    if misdeed == STALL:
        time.sleep(random.uniform(0, LONGEST_STALL_SECONDS))
        client.sendall(data[cut:])
        time.sleep(random.uniform(0, LONGEST_STALL_SECONDS))
        client.recv(65536)
    elif cut == len(data):
        client.recv(random.choice((1, 100, 65536)))
    if misdeed == RESET:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_FOR_NOTHING)
