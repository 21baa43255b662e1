"""From an accepted socket to a served connection: the PROXY header, the TLS handshake, the HTTP connection.

Runs on the loop's own thread, for one loop, and never blocks it: a client that stalls here keeps nobody waiting and is
given up after its time. It owns a socket from `open` on until the loop's transport does.
"""

import asyncio
import logging
import socket
import ssl

from threadserve.config import Config
from threadserve.http.connection import HttpConnection
from threadserve.http.loop_state import LoopState
from threadserve.http.peer import address_of, label_of, local_address_of
from threadserve.logging.wording import counted
from threadserve.proxies.forwarded import TrustedHosts
from threadserve.proxies.protocol import Announced, ProxyHeaderError, parse_proxy_header
from threadserve.tls.certificates import LoopTls

logger = logging.getLogger("threadserve.error")

# How long, in seconds, a client may take to answer the end of its encrypted connection, and to take what is left of it.
TLS_SHUTDOWN = 30.0
PEEK = 4096
# OpenSSL's reasons that need other words.
SAID = {"HTTP_REQUEST": "the client speaks plain HTTP"}


class Opener:
    """Opens the connections of one loop. `tls` is what the next one is encrypted with, or None."""

    def __init__(self, state: LoopState, config: Config, tls: LoopTls | None) -> None:
        self.tls = tls
        self._state = state
        self._trusted = TrustedHosts(config.forwarded_allow_ips) if config.proxy_protocol else None
        self._timeout_ssl_handshake = config.timeout_ssl_handshake
        self._timeout_proxy_header = config.timeout_ssl_handshake if tls else config.timeout_request_header

    async def open(self, accepted: socket.socket) -> asyncio.WriteTransport | None:
        """Has an accepted connection served; returns its transport, or None where it came to nothing."""
        announced: Announced | None = None
        if self._trusted is not None:
            try:
                announced = await self._read_announcement(accepted, self._trusted)
            except (ProxyHeaderError, OSError) as error:
                level = logging.WARNING if isinstance(error, ProxyHeaderError) else logging.DEBUG
                logger.log(level, "No PROXY header from %s: %s", client_of(accepted), error)
                accepted.close()
                return None
            except asyncio.CancelledError:
                accepted.close()
                raise
        return await self._connect(accepted, announced)

    async def _connect(self, accepted: socket.socket, announced: Announced | None) -> asyncio.WriteTransport | None:
        loop, tls = self._state.loop, self.tls
        protocol = HttpConnection(self._state, announced, tls)
        client = client_of(accepted) if tls is not None else ""
        try:
            if tls is None:
                transport, _ = await loop.connect_accepted_socket(lambda: protocol, accepted)
            else:
                transport, _ = await loop.connect_accepted_socket(
                    lambda: protocol,
                    accepted,
                    ssl=tls.context,
                    ssl_handshake_timeout=self._timeout_ssl_handshake,
                    ssl_shutdown_timeout=TLS_SHUTDOWN,
                )
        except OSError as error:
            # The client is gone already, or its handshake has failed.
            if tls is not None:
                log_failed_handshake(client, error)
            accepted.close()
            return None
        except asyncio.CancelledError:
            # uvloop closes the transport without another word to the protocol, which may be serving by now.
            protocol.connection_lost(None)
            raise
        return transport

    async def _read_announcement(self, accepted: socket.socket, trusted: TrustedHosts) -> Announced | None:
        """What the PROXY header says. Raises `ProxyHeaderError`, `OSError`, `TimeoutError`."""
        if not trusted.trusts(peer_host(accepted)):
            raise ProxyHeaderError("--forwarded-allow-ips does not have this address")
        try:
            async with asyncio.timeout(self._timeout_proxy_header):
                return await read_announcement(self._state.loop, accepted)
        except TimeoutError:
            raise ProxyHeaderError(f"it did not come within {counted(self._timeout_proxy_header, 'second')}") from None


async def read_announcement(loop: asyncio.AbstractEventLoop, accepted: socket.socket) -> Announced | None:
    """Takes the PROXY header from a socket, and not a byte of what follows it. Raises `ProxyHeaderError`, `OSError`."""
    received = b""
    while True:
        await readable(loop, accepted)
        try:
            seen = accepted.recv(PEEK, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            continue
        if not seen:
            raise ConnectionResetError("the connection ended before it was complete")
        header = parse_proxy_header(received + seen)
        # Without a whole header all that has come is part of it.
        received += accepted.recv(len(seen) if header is None else header.size - len(received))
        if header is not None:
            return header.announced


async def readable(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    """Returns when something can be read from a socket."""
    arrived = asyncio.Event()
    loop.add_reader(connection, arrived.set)
    try:
        await arrived.wait()
    finally:
        loop.remove_reader(connection)


def log_failed_handshake(client: str, error: OSError) -> None:
    """A client that only went says nothing about anybody's settings; one that disagrees may."""
    if isinstance(error, ssl.SSLCertVerificationError):
        logger.info("TLS handshake with %s failed: %s", client, error.verify_message)
    elif isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        logger.info("TLS handshake with %s failed: %s", client, SAID.get(error.reason, reason))
    else:
        logger.debug("TLS handshake with %s was not completed: %s", client, error or type(error).__name__)


def peer_host(connection: socket.socket) -> str | None:
    """The client of a socket, as `TrustedHosts` knows it: by its address, or by the Unix socket that it came to."""
    address = address_of(connection.getpeername()) or local_address_of(connection.getsockname())
    return address[0] if address else None


def client_of(connection: socket.socket) -> str:
    """The client of a socket, as a line about it names it."""
    try:
        return label_of(address_of(connection.getpeername())) or "a Unix socket"
    except OSError:
        return "a client that is gone"
