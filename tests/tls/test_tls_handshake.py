"""Handshakes: what is negotiated, what becomes of those that fail, and of those that stall."""

import logging
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from support.apps import hello
from support.bounds import give_bounds
from support.certificates import Authority
from support.embedded_server import Serve
from support.raw_client import Connect, RawClient, request
from support.tls_client import ConnectTls, encrypt, tls_socket
from support.waiting import DEADLINE, wait_until

LogLines = Callable[[], list[str]]


@pytest.fixture
def handshake_lines(caplog: pytest.LogCaptureFixture) -> LogLines:
    """What was logged about handshakes, and by asyncio about anything, where nothing may have a traceback."""
    caplog.set_level(logging.DEBUG, "threadserve.error")

    def lines() -> list[str]:
        found = [record for record in caplog.records if record.name == "asyncio" or "handshake" in record.getMessage()]
        assert [record.exc_info for record in found] == [None] * len(found)
        return [f"{record.levelname} {record.getMessage()}" for record in found]

    return lines


def context_with(authority: Authority, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client's context for one version of TLS."""
    context = authority.client_context()
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_is_negotiated(
    serve: Serve, connect_tls: ConnectTls, authority: Authority, version: ssl.TLSVersion
) -> None:
    context = context_with(authority, version)
    context.set_alpn_protocols(["h2", "http/1.1"])
    negotiated = tls_socket(connect_tls(serve(hello), context))
    assert negotiated.version() == version.name.replace("_", ".")
    assert negotiated.selected_alpn_protocol() == "http/1.1"
    assert negotiated.compression() is None


def test_a_client_that_offers_another_protocol_alone(
    serve: Serve, connect_tls: ConnectTls, authority: Authority
) -> None:
    context = authority.client_context()
    context.set_alpn_protocols(["h2"])
    client = connect_tls(serve(hello), context)
    assert tls_socket(client).selected_alpn_protocol() is None
    assert client.get("/a").body == b"/a"


def test_the_server_chooses_the_cipher(serve: Serve, connect_tls: ConnectTls, authority: Authority) -> None:
    server = serve(hello, ssl_ciphers="ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256")
    context = context_with(authority, ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    cipher = tls_socket(connect_tls(server, context)).cipher()
    assert cipher is not None
    assert cipher[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"


def test_plain_http_on_the_port_of_tls(
    serve: Serve, connect: Connect, connect_tls: ConnectTls, handshake_lines: LogLines
) -> None:
    server = serve(hello)
    client = connect(server)
    client.send(request())
    with suppress(ConnectionResetError):
        assert b"200" not in client.read_all()
    assert connect_tls(server).get("/a").body == b"/a"
    wait_until(handshake_lines, "the line")
    assert handshake_lines() == [
        f"INFO TLS handshake with 127.0.0.1:{client.socket.getsockname()[1]} failed: the client speaks plain HTTP"
    ]


def fail(connect: Connect, server: Any, context: ssl.SSLContext) -> None:
    """Connects, and finds that TLS cannot be."""
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        encrypt(connect(server), context).read_all()


def test_a_client_that_does_not_know_the_authority(
    serve: Serve, connect: Connect, connect_tls: ConnectTls, handshake_lines: LogLines
) -> None:
    server = serve(hello)
    fail(connect, server, ssl.create_default_context())
    wait_until(handshake_lines, "the line")
    assert connect_tls(server).get("/a").body == b"/a"
    (line,) = handshake_lines()
    assert line.startswith("INFO TLS handshake with 127.0.0.1:")
    assert "unknown ca" in line


def test_a_client_with_another_version(
    serve: Serve, connect: Connect, authority: Authority, handshake_lines: LogLines
) -> None:
    server = serve(hello, ssl_version=int(ssl.PROTOCOL_TLSv1_2))
    fail(connect, server, context_with(authority, ssl.TLSVersion.TLSv1_3))
    wait_until(handshake_lines, "the line")
    (line,) = handshake_lines()
    assert line.startswith("INFO TLS handshake with 127.0.0.1:")
    assert line.endswith("failed: unsupported protocol")


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_client_that_goes_without_a_word(serve: Serve, connect: Connect, handshake_lines: LogLines, end: str) -> None:
    client = connect(serve(hello))
    getattr(client, end)()
    wait_until(handshake_lines, "the line")
    (line,) = handshake_lines()
    assert line.startswith("DEBUG TLS handshake with ")


def test_a_client_without_a_certificate_that_is_required(
    serve: Serve, connect: Connect, authority: Authority, handshake_lines: LogLines
) -> None:
    server = serve(hello, ssl_cert_reqs=2, ssl_ca_certs=str(authority.certificate))
    fail(connect, server, authority.client_context())
    wait_until(handshake_lines, "the line")
    (line,) = handshake_lines()
    assert line.endswith("failed: peer did not return a certificate")


@pytest.mark.parametrize("required", [1, 2])
def test_a_client_with_a_stranger_s_certificate(
    serve: Serve,
    connect: Connect,
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
    handshake_lines: LogLines,
    required: int,
) -> None:
    stranger = Authority(tmp_path_factory.mktemp("stranger")).sign("client", "/CN=Mallory")
    server = serve(hello, ssl_cert_reqs=required, ssl_ca_certs=str(authority.certificate))
    fail(connect, server, authority.client_context(stranger))
    wait_until(handshake_lines, "the line")
    (line,) = handshake_lines()
    assert line.endswith("failed: unable to get local issuer certificate")


def stall(connect: Connect, server: Any) -> list[RawClient]:
    """Clients that do not go on with their handshakes, and half of them do not begin."""
    stalled = [connect(server) for _ in range(60)]
    for client in stalled[:30]:
        client.send(b"\x16\x03\x01\x02\x00\x01")
    return stalled


def test_stalled_handshakes_keep_nobody_waiting(serve: Serve, connect: Connect, connect_tls: ConnectTls) -> None:
    server = serve(hello, timeout_ssl_handshake=60)
    stalled = stall(connect, server)
    assert connect_tls(server).get("/a").body == b"/a"
    assert all(client.is_silent(0) for client in stalled)


def test_stalled_handshakes_end(serve: Serve, connect: Connect, handshake_lines: LogLines) -> None:
    server = serve(hello, timeout_ssl_handshake=1)
    for client in stall(connect, server):
        # It is reset where the server has not read by then what the client sent.
        with suppress(ConnectionResetError):
            assert client.is_closed()
    wait_until(lambda: len(handshake_lines()) == 60, "a line for each")


def test_stalled_handshakes_delay_no_shutdown(serve: Serve, connect: Connect) -> None:
    server = serve(hello, timeout_ssl_handshake=60, timeout_graceful_shutdown=60)
    clients = [connect(server) for _ in range(3)]
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < DEADLINE
    assert all(client.is_closed() for client in clients)


def test_a_handshake_that_is_under_way_at_the_shutdown_is_served(
    serve: Serve, connect: Connect, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, partial_grace_seconds=DEADLINE)
    server = serve(hello)
    client = connect(server)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = authority.client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    client.send(outgoing.read())
    server.server.should_exit = True
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            incoming.write(client.socket.recv(65536))
    tls.write(request("GET", "/a"))
    client.send(outgoing.read())
    while True:
        try:
            assert b"\r\n\r\n/a" in tls.read(65536)
            break
        except ssl.SSLWantReadError:
            incoming.write(client.socket.recv(65536))


def test_idle_clients_that_do_not_end_tls_delay_no_shutdown(serve: Serve, connect_tls: ConnectTls) -> None:
    server = serve(hello, timeout_graceful_shutdown=60)
    clients = [connect_tls(server) for _ in range(3)]
    for client in clients:
        client.get()
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < DEADLINE
