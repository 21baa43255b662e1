"""WebSocket frames of a client without extensions, and its opening handshake (RFC 6455)."""

import base64
import hashlib
import os
import socket
from dataclasses import dataclass
from itertools import cycle, islice

from loadtests.errors import LoadTestError

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FINAL = 0x80
MASKED = 0x80
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
HEAD_LIMIT = 65536


@dataclass(frozen=True)
class Frame:
    """One frame that a server has sent."""

    opcode: int
    payload: bytes
    is_final: bool


def frame(opcode: int, payload: bytes, key: bytes | None = None) -> bytes:
    """A final frame, masked by the four bytes of `key` or as a server sends it (RFC 6455, 5.2)."""
    size = len(payload)
    flag = 0 if key is None else MASKED
    if size < 126:
        head = bytes((FINAL | opcode, flag | size))
    elif size < 65536:
        head = bytes((FINAL | opcode, flag | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((FINAL | opcode, flag | 127)) + size.to_bytes(8, "big")
    return head + payload if key is None else head + key + masked(payload, key)


def masked(payload: bytes, key: bytes) -> bytes:
    """The payload by turns with the bytes of the key (RFC 6455, 5.3)."""
    mask = bytes(islice(cycle(key), len(payload)))
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(len(payload), "big")


def take(buffer: bytearray) -> Frame | None:
    """Removes the first frame from what has arrived; None where it is not complete.

    Raises LoadTestError for one that a server must not send to a client without extensions.
    """
    if len(buffer) < 2:
        return None
    if buffer[0] & 0x70 or buffer[1] & MASKED:
        raise LoadTestError(f"the server sent a frame with a reserved bit or masked: {bytes(buffer[:2])!r}")
    wide = {126: 2, 127: 8}.get(buffer[1], 0)
    begin = 2 + wide
    size = int.from_bytes(buffer[2:begin], "big") if wide else buffer[1]
    if len(buffer) < begin or len(buffer) < begin + size:
        return None
    taken = Frame(buffer[0] & 0x0F, bytes(buffer[begin : begin + size]), bool(buffer[0] & FINAL))
    del buffer[: begin + size]
    return taken


def open_websocket(port: int, timeout: float = 30.0) -> tuple[socket.socket, bytearray]:
    """A blocking socket after the handshake, and what has arrived behind it.

    Raises OSError, or LoadTestError where the server does not accept.
    """
    key = base64.b64encode(os.urandom(16))
    connected = socket.create_connection(("127.0.0.1", port), timeout)
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.sendall(
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % (port, key)
        )
        head, rest = read_head(connected)
        require_accepted(head, key)
    except BaseException:
        connected.close()
        raise
    return connected, rest


def read_head(connected: socket.socket) -> tuple[bytes, bytearray]:
    """The head of an answer, and what has arrived behind it; raises LoadTestError where it does not end."""
    buffer = bytearray()
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        data = connected.recv(65536)
        if not data or len(buffer) > HEAD_LIMIT:
            raise LoadTestError(f"the server's answer has no end: {bytes(buffer[:80])!r}")
        buffer += data
    return bytes(buffer[:end]), buffer[end + 4 :]


def require_accepted(head: bytes, key: bytes) -> None:
    """Raises LoadTestError unless this is the answer that RFC 6455, 4.2.2 wants to this key."""
    lines = head.split(b"\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    if not lines[0].startswith(b"HTTP/1.1 101") or fields.get(b"sec-websocket-accept") != accept:
        raise LoadTestError(f"the server does not accept a WebSocket: {head[:80]!r}")
    if b"sec-websocket-extensions" in fields:
        raise LoadTestError("the server uses an extension that nobody asked for")
