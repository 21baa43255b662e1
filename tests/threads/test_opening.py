"""Connections behind a proxy that speaks the PROXY protocol, from their first byte to the scope."""

import json
import logging
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.apps import respond
from support.certificates import Authority, needs_openssl
from support.embedded_server import Serve, servers
from support.error_log import ErrorLog
from support.raw_client import Connect, RawClient, request
from support.tls_client import encrypt
from support.waiting import DEADLINE, wait_until

from threadserve.types import Receive, Scope, Send

VERSION_1 = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
BLOCK = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.7") + struct.pack("!HH", 56324, 443)
VERSION_2 = SIGNATURE + struct.pack("!BBH", 0x21, 0x11, len(BLOCK)) + BLOCK
LONG_VERSION_2 = (
    SIGNATURE + struct.pack("!BBH", 0x21, 0x11, len(BLOCK) + 30003) + BLOCK + b"\x04\x75\x30" + bytes(30000)
)
UNIX_BLOCK = struct.pack("!108s108s", b"/run/client.sock", b"/run/web.sock")
VERSION_2_UNIX = SIGNATURE + struct.pack("!BBH", 0x21, 0x31, len(UNIX_BLOCK)) + UNIX_BLOCK
LOCAL = SIGNATURE + struct.pack("!BBH", 0x20, 0, 0)
ANNOUNCED = {"client": ["192.0.2.1", 56324], "server": ["198.51.100.7", 443], "scheme": "http"}

Warnings = Callable[[], list[str]]


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the scope's addresses."""
    await respond(send, json.dumps({name: scope[name] for name in ("client", "server", "scheme")}).encode())


def told(client: RawClient) -> Any:
    """What `tell` answers to a request that is sent now."""
    return json.loads(client.get().body)


@pytest.fixture
def serve(error_log: ErrorLog, loop: str) -> Iterator[Serve]:
    with servers(threads=1, lifespan="off", loop=loop, proxy_protocol=True) as start:
        yield start


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Warnings:
    """The warnings that were logged about PROXY headers, each without a traceback."""

    def lines() -> list[str]:
        records = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert [record.exc_info for record in records] == [None] * len(records)
        return [record.getMessage() for record in records]

    return lines


def own_addresses(server: Any, client: RawClient) -> dict[str, Any]:
    """What the scope says of a connection that nobody speaks for."""
    return {
        "client": list(client.socket.getsockname()),
        "server": [server.host, server.port],
        "scheme": "http",
    }


@pytest.mark.parametrize("header", [VERSION_1, VERSION_2, LONG_VERSION_2])
def test_the_announced_addresses_are_the_scope_s(serve: Serve, connect: Connect, header: bytes) -> None:
    client = connect(serve(tell))
    client.send(header)
    assert told(client) == ANNOUNCED
    assert told(client) == ANNOUNCED


def test_addresses_of_unix_sockets(serve: Serve, connect: Connect) -> None:
    client = connect(serve(tell))
    client.send(VERSION_2_UNIX)
    assert told(client) == {"client": None, "server": ["/run/web.sock", None], "scheme": "http"}


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", LOCAL])
def test_a_proxy_that_speaks_for_itself(serve: Serve, connect: Connect, header: bytes) -> None:
    server = serve(tell)
    client = connect(server)
    client.send(header)
    assert told(client) == own_addresses(server, client)


@pytest.mark.parametrize("header", [VERSION_1, VERSION_2])
def test_header_and_request_in_one_piece(serve: Serve, connect: Connect, header: bytes) -> None:
    client = connect(serve(tell))
    client.send(header + request())
    assert json.loads(client.read_response().body) == ANNOUNCED


@pytest.mark.parametrize("header", [VERSION_1, VERSION_2])
def test_a_header_byte_for_byte(serve: Serve, connect: Connect, header: bytes) -> None:
    client = connect(serve(tell))
    for byte in header + request():
        client.send(bytes([byte]))
        time.sleep(0.002)
    assert json.loads(client.read_response().body) == ANNOUNCED


def test_the_access_log_has_the_announced_client(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "threadserve.access")
    client = connect(serve(tell))
    client.send(VERSION_1)
    client.get()
    wait_until(lambda: any("192.0.2.1:56324" in record.getMessage() for record in caplog.records), "the line")


@needs_openssl
@pytest.mark.parametrize("header", [VERSION_1, LONG_VERSION_2])
def test_the_header_comes_before_tls(serve: Serve, connect: Connect, tmp_path: Path, header: bytes) -> None:
    authority = Authority(tmp_path)
    client = connect(serve(tell, **authority.sign("server").settings))
    client.send(header)
    encrypt(client, authority.client_context())
    assert told(client) == {**ANNOUNCED, "scheme": "https"}


@pytest.mark.parametrize(
    ("begin", "said"),
    [
        (request(), "it does not begin with a PROXY header"),
        (b"PROXY TCP4 192.0.2.1\r\n", "the line is not PROXY, TCP4 or TCP6 or UNKNOWN, two addresses and two ports"),
        (b"\x16\x03\x01\x02", "it does not begin with a PROXY header"),
        (SIGNATURE + b"\x41\x11\0\0", "version 4 and command 1 are unknown"),
    ],
)
def test_what_is_no_header_ends_the_connection(
    serve: Serve, connect: Connect, warnings: Warnings, begin: bytes, said: str
) -> None:
    client = connect(serve(tell))
    client.send(begin)
    assert ended(client)
    wait_until(warnings, "the line")
    host, port = client.socket.getsockname()
    assert warnings() == [f"No PROXY header from {host}:{port}: {said}"]


def ended(client: RawClient) -> bool:
    """Whether the server closes without an answer, perhaps with a reset for what it has not read."""
    try:
        return client.read_all() == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("end", ["half_close", "reset"])
def test_a_client_that_goes_before_the_header_is_complete_is_no_warning(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    caplog.set_level(logging.DEBUG, "threadserve.error")
    client = connect(serve(tell))
    client.send(VERSION_1[:10])
    getattr(client, end)()

    def levels() -> list[int]:
        return [record.levelno for record in caplog.records if "No PROXY header from" in record.getMessage()]

    wait_until(levels, "the line")
    assert levels() == [logging.DEBUG]


def test_a_header_that_does_not_come_keeps_nobody_waiting(serve: Serve, connect: Connect) -> None:
    server = serve(tell, timeout_request_header=6 * DEADLINE)
    stalled = [connect(server) for _ in range(20)]
    stalled[0].send(VERSION_1[:-1])
    client = connect(server)
    client.send(VERSION_1)
    assert told(client) == ANNOUNCED


def test_a_header_that_does_not_come_ends_the_connection(serve: Serve, connect: Connect, warnings: Warnings) -> None:
    server = serve(tell, timeout_request_header=0.5)
    stalled = [connect(server) for _ in range(20)]
    stalled[0].send(VERSION_1[:-1])
    for each in stalled:
        assert ended(each)
    wait_until(lambda: len(warnings()) == 20, "a line for each")
    assert warnings()[0].endswith("it did not come within 0.5 seconds")


def test_headers_that_do_not_come_delay_no_shutdown(serve: Serve, connect: Connect) -> None:
    server = serve(tell, timeout_request_header=60, timeout_graceful_shutdown=60)
    clients = [connect(server) for _ in range(3)]
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < DEADLINE
    assert all(ended(client) for client in clients)


def test_a_host_that_is_not_trusted(serve: Serve, connect: Connect, warnings: Warnings) -> None:
    client = connect(serve(tell, forwarded_allow_ips="192.0.2.0/24"))
    client.send(VERSION_1 + request())
    assert ended(client)
    wait_until(warnings, "the line")
    assert warnings()[0].endswith("--forwarded-allow-ips does not have this address")


def test_without_the_option_a_header_is_no_request(serve: Serve, connect: Connect) -> None:
    client = connect(serve(tell, proxy_protocol=False))
    client.send(VERSION_1 + request())
    assert client.read_response().status == 400
