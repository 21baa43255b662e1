"""Clients that vanish, stall and reset in the middle of whatever they ask for, over raw sockets.

What each sends is well-formed as far as it goes.
"""

import random
import socket
import struct
import time
from contextlib import closing
from threading import Event

from websockets.frames import Frame, Opcode

from loadtests.clients.seen import Record

HOST, PATIENCE_SECONDS = "127.0.0.1", 30.0
# So small that a server which sends a large body soon has to wait for the client.
RECEIVE_BUFFER_BYTES = 4096
LONGEST_STALL_SECONDS, BETWEEN_SECONDS = 3.0, 0.1
BODY = b"x" * 300_000
VANISH, STALL, RESET = "vanish", "stall", "reset"
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
    "stream": request("GET", "/stream?lines=20000"),
    "events": request("GET", "/events?count=40&interval=0.05"),
    WEBSOCKET: Frame(Opcode.TEXT, b"y" * 1000).serialize(mask=True) * 200,
}


def live(port: int, number: int, record: Record, stopped: Event) -> None:
    """Live one user's life until it is to be stopped, on the thread that calls it."""
    while not stopped.wait(random.uniform(0, 2 * BETWEEN_SECONDS)):
        kind, misdeed = random.choice(list(TRAFFIC)), random.choice((VANISH, STALL, RESET))
        client = socket.socket()
        with closing(client):
            client.settimeout(PATIENCE_SECONDS)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            try:
                client.connect((HOST, port))
            except OSError as error:
                record.fail("chaos: not connected", error)
                continue
            try:
                misbehave(client, kind, misdeed)
            except OSError:
                # Neither side is to blame: the server may be made to die. Whether it serves is for others to judge.
                misdeed = "cut short"
        record.count(record.misdeeds, f"{kind}, {misdeed}")


def misbehave(client: socket.socket, kind: str, misdeed: str) -> None:
    """Begin as any client would, and commit the misdeed somewhere on the way.

    Raises OSError where the server ends the connection before.
    """
    data = TRAFFIC[kind]
    cut = random.choice((len(data), random.randrange(len(data))))
    if kind == WEBSOCKET:
        client.sendall(HANDSHAKE)
        client.recv(RECEIVE_BUFFER_BYTES)
    client.sendall(data[:cut])
    if misdeed == STALL:
        time.sleep(random.uniform(0, LONGEST_STALL_SECONDS))
        client.sendall(data[cut:])
        cut = len(data)
    if cut == len(data):
        client.recv(random.choice((1, 100, 65536)))
    if misdeed == STALL:
        time.sleep(random.uniform(0, LONGEST_STALL_SECONDS))
        client.recv(65536)
    elif misdeed == RESET:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_FOR_NOTHING)
