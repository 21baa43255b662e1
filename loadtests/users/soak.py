"""The users of a soak: one that does all that others do, and one that misbehaves, over raw sockets."""

import random
import socket
import struct
import time
from contextlib import suppress
from urllib.parse import urlsplit

from geventhttpclient.client import HTTPClient, HTTPClientPool
from geventhttpclient.url import URL
from locust import task
from locust.env import Environment
from websocket import ABNF

from loadtests.users.listeners import ChatUser, EventsUser
from loadtests.users.people import BrowserUser, JsonApiUser, TransferUser
from loadtests.users.visitor import Visitor

LONGEST_STALL_SECONDS = 3.0
# So small that a server which sends a large body soon has to wait for the client.
RECEIVE_BUFFER_BYTES = 4096
LINGER_FOR_NOTHING = struct.pack("ii", 1, 0)


def request(method: str, path: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *fields, "", ""]).encode() + body


BODY = b"x" * 30_000
OPENING = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
HANDSHAKE = request("GET", "/chat?room=chaos", *OPENING, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
CHUNKED = b"%x\r\n%b\r\n" % (len(BODY), BODY) * 10 + b"0\r\n\r\n"
# What is sent of each kind of traffic; of the WebSocket that is after the handshake.
TRAFFIC = {
    "page": request("GET", "/"),
    "upload": request("POST", "/upload", f"Content-Length: {10 * len(BODY)}", body=10 * BODY),
    "upload in chunks": request("POST", "/upload", "Transfer-Encoding: chunked", body=CHUNKED),
    "download": request("GET", "/download?bytes=3000000"),
    "events": request("GET", "/events?count=40&interval=0.05"),
    "WebSocket": ABNF.create_frame("y" * 1000, ABNF.OPCODE_TEXT).format() * 200,
}


class OneTryPool(HTTPClientPool):
    """Clients that send no request twice, as Locust's do whose connection is closed: one that is lost has to show."""

    def get_client(self, url: str | URL) -> HTTPClient:
        """Return the client for a URL's host and port."""
        client = super().get_client(url)
        # It tries again as often as there may be connections, and once more.
        client._connection_pool.size = -1
        return client


class SteadyUser(JsonApiUser, BrowserUser, TransferUser, EventsUser, ChatUser):
    """All that these do, as often as they do it in relation to each other. Think time up to 100 ms."""

    think_time = (0.0, 0.1)
    # As many as all other classes of a soak that behave well.
    weight = 6

    def __init__(self, environment: Environment) -> None:
        self.client_pool = OneTryPool(connection_timeout=self.connection_timeout, network_timeout=self.network_timeout)
        super().__init__(environment)


class ChaosUser(Visitor):
    """One vanishing, stall or reset in the middle of a request after the other, each on a connection of its own.

    Think time up to 200 ms. Recorded are the kind of traffic and the misdeed; only who cannot connect has failed.
    """

    think_time = (0.0, 0.2)
    weight = 6

    @task
    def misbehave(self) -> None:
        kind, misdeed = random.choice([*TRAFFIC]), random.choice(["vanish", "stall", "reset"])
        url, data = urlsplit(str(self.host)), TRAFFIC[kind]
        cut = random.choice((len(data), random.randrange(len(data))))
        with (
            self.timed("chaos", f"chaos: {kind}, {misdeed}"),
            socket.create_connection((url.hostname, url.port), self.network_timeout) as client,
            # Neither side is to blame: the server may be made to die. Whether it serves is for others to judge.
            suppress(OSError),
        ):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            if kind == "WebSocket":
                client.sendall(HANDSHAKE)
                client.recv(RECEIVE_BUFFER_BYTES)
            client.sendall(data[:cut])
            if misdeed == "stall":
                time.sleep(random.uniform(0, LONGEST_STALL_SECONDS))
                client.sendall(data[cut:])
                time.sleep(random.uniform(0, LONGEST_STALL_SECONDS))
            if misdeed == "stall" or cut == len(data):
                client.recv(random.choice((1, 100, 65536)))
            if misdeed == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_FOR_NOTHING)
