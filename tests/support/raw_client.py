"""A client that sends the very bytes it is told to, over a plain socket on which every operation has a deadline."""

import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from support.responses import Response, ResponseReader
from support.waiting import DEADLINE


class RawClient:
    """One connection. What it reads is checked strictly; see `support.responses`."""

    def __init__(self, host: str, port: int, *, receive_buffer: int | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(DEADLINE)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.connect((host, port))
        except BaseException:
            self.socket.close()
            raise
        self.reader = ResponseReader(lambda: self.socket.recv(65536))

    def send(self, data: bytes) -> None:
        """Sends all of `data`."""
        self.socket.sendall(data)

    def get(self, target: str = "/", *fields: str) -> Response:
        """Sends a GET with `fields` ("Name: value") and reads its response."""
        self.send(request("GET", target, *fields))
        return self.read_response()

    def read_response(self, method: str = "GET") -> Response:
        """The next response, which answers a request with `method`."""
        return self.reader.response(method)

    def read_all(self) -> bytes:
        """Everything that comes until the server closes. A reset raises ConnectionResetError."""
        return self.reader.rest()

    def is_closed(self) -> bool:
        """Waits for the server to close the connection; False if it sends bytes instead."""
        return not self.reader.more()

    def is_silent(self, seconds: float) -> bool:
        """Whether the server neither sends anything nor closes within `seconds`."""
        return not self.reader.buffer and not select.select([self.socket], [], [], seconds)[0]

    def send_while_taken(self, data: bytes, limit: int, patience: float) -> int:
        """Sends `data` again and again until nothing is taken for `patience` seconds, or `limit` bytes are sent.

        Returns how many bytes were taken.
        """
        sent = 0
        view = memoryview(data)
        while sent < limit and select.select([], [self.socket], [], patience)[1]:
            piece = view[sent % len(data) :][: limit - sent]
            sent += self.socket.send(piece, socket.MSG_DONTWAIT)
        return sent

    def half_close(self) -> None:
        """Says that nothing more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Closes both directions (FIN)."""
        self.socket.close()

    def reset(self) -> None:
        """Aborts the connection (RST)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


Connect = Callable[..., RawClient]


@contextmanager
def clients() -> Iterator[Connect]:
    """Gives a function that connects to a server (anything with host and port); closes the connections in the end."""
    with ExitStack() as stack:

        def connect(server: Any, **options: Any) -> RawClient:
            client = RawClient(server.host, server.port, **options)
            stack.callback(client.close)
            return client

        yield connect


def request(method: str = "GET", target: str = "/", *fields: str, body: bytes = b"", version: str = "1.1") -> bytes:
    """The bytes of a request with a Host and `fields`, and with `body` as it stands."""
    lines = [f"{method} {target} HTTP/{version}", "Host: example.org", *fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def post(target: str, body: bytes, *fields: str) -> bytes:
    """The bytes of a POST with a content-length."""
    return request("POST", target, f"Content-Length: {len(body)}", *fields, body=body)


def chunked(*chunks: bytes, trailers: bytes = b"", extension: bytes = b"") -> bytes:
    """A chunked body, with the same extension at each chunk."""
    lines = [b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks]
    return b"".join(lines) + b"0" + extension + b"\r\n" + trailers + b"\r\n"


def post_chunked(target: str, *chunks: bytes) -> bytes:
    """The bytes of a POST with a chunked body."""
    return request("POST", target, "Transfer-Encoding: chunked", body=chunked(*chunks))
