"""Opening connections: from an accepted socket, by the PROXY header and the TLS handshake, to the HTTP connection.

Belongs to the loop's thread, and never blocks it: a client that stalls here delays nobody and is given up after its
timeout. It owns a socket from the time when it takes it until the loop's transport does.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from threadserve.config import Config
from threadserve.http.peer import (
    ConnectionFactory,
    ConnectionProtocol,
    format_client,
    parse_local_address,
    parse_peer_address,
)
from threadserve.listening.accepted import AcceptedSocket, ReturnedSocket
from threadserve.logging.wording import format_count
from threadserve.metrics.loop_metrics import LoopMetrics
from threadserve.proxies.forwarded import TrustedHosts
from threadserve.proxies.protocol import ProxiedAddresses, ProxyHeaderError, parse_proxy_header
from threadserve.tls.certificates import LoopTls
from threadserve.types import LocalAddress

logger = logging.getLogger("threadserve.error")

# The time that a client has to read the rest of its encrypted connection and to answer the closing.
TLS_SHUTDOWN_SECONDS = 30.0
PEEK_BYTES = 4096
# Plain words for OpenSSL's reasons.
TLS_ERROR_WORDS = {"HTTP_REQUEST": "the client speaks plain HTTP"}


# Makes what serves a connection that a loop has returned, from its addresses.
ResumedConnectionFactory = Callable[[ReturnedSocket, ProxiedAddresses], ConnectionProtocol]


class Cancellable(Protocol):
    """A task, or what takes the place of one."""

    def cancel(self) -> object:
        """Cancel it."""
        ...


class OpeningRegistry(Protocol):
    """The loop's registry, as far as connections are concerned that are being opened."""

    opening: set[Cancellable]

    def on_opened(self, opening: Cancellable) -> None:
        """Remove a connection that was being opened: it is open, or has failed."""
        ...


class PendingConnection:
    """A connection that will get its transport in the next iteration of the loop, as the transport's first protocol.

    It replaces a task, which would cost more than all the rest. It runs the two steps of the coroutine
    `connect_accepted_socket` itself, the second one when the future that the coroutine waits for is done.
    """

    __slots__ = ("_accepted", "_coroutine", "_is_over", "_make", "_registry", "_waiter")

    def __init__(
        self, accepted: AcceptedSocket, make: Callable[[AcceptedSocket], ConnectionProtocol], registry: OpeningRegistry
    ) -> None:
        self._accepted = accepted
        self._make = make
        self._registry = registry
        self._is_over = False

    def __call__(self) -> ConnectionProtocol:
        """Return itself, as the protocol that the transport is made with."""
        return self

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make the transport. Raises what the loop raises for a socket that it cannot use."""
        self._coroutine = loop.connect_accepted_socket(self, self._accepted)
        self._waiter: asyncio.Future[object] = self._coroutine.send(None)
        self._registry.opening.add(self)

    def finish(self, _: object = None) -> None:
        """Run the coroutine's last step, now or when its future is done."""
        if not self._waiter.done():
            self._waiter.add_done_callback(self.finish)
            return
        try:
            self._waiter = self._coroutine.send(None)
        except (StopIteration, OSError):
            self._registry.on_opened(self)
        else:
            self.finish()

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Pass the transport to the connection's protocol, or close it if the connection was reclaimed."""
        try:
            if not self._is_over:
                self._is_over = True
                connection = self._make(self._accepted)
                transport.set_protocol(connection)
                connection.connection_made(transport)
                return
        except BaseException:
            transport.abort()
            raise
        transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Do nothing: the connection's protocol was never told of the transport."""

    def reclaim(self) -> AcceptedSocket | None:
        """Return the connection, of which nothing has been read, or None if its protocol has the transport.

        The transport is closed in `connection_made`: uvloop's would break if it was closed earlier.
        """
        if self._is_over:
            return None
        self._is_over = True
        try:
            return self._accepted.dup()
        except OSError as error:
            logger.debug("A connection from %s is lost: %s", format_accepted_client(self._accepted), error)
            return None

    def cancel(self) -> None:
        """Do nothing: it does not wait for the client."""


class ConnectionOpener:
    """Opens the connections of one loop. `tls`, if set, encrypts the next ones; `metrics`, if set, counts them."""

    __slots__ = (
        "_is_closed",
        "_loop",
        "_make_connection",
        "_make_resumed",
        "_not_started",
        "_registry",
        "_server_addresses",
        "_started",
        "_timeout_proxy_header",
        "_timeout_ssl_handshake",
        "_trusted",
        "metrics",
        "tls",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        registry: OpeningRegistry,
        make_connection: ConnectionFactory,
        make_resumed: ResumedConnectionFactory,
        config: Config,
        tls: LoopTls | None,
        metrics: LoopMetrics | None = None,
    ) -> None:
        self.tls = tls
        self.metrics = metrics
        self._loop = loop
        self._registry = registry
        self._make_connection = make_connection
        self._make_resumed = make_resumed
        self._trusted = TrustedHosts(config.forwarded_allow_ips) if config.proxy_protocol else None
        self._timeout_ssl_handshake = config.timeout_ssl_handshake
        self._timeout_proxy_header = config.timeout_ssl_handshake if tls else config.timeout_request_header
        self._server_addresses: dict[object, LocalAddress | None] = {}
        self._started: list[PendingConnection] = []
        self._not_started: set[AcceptedSocket] = set()
        self._is_closed = False

    def open_all(self, accepted: deque[AcceptedSocket]) -> None:
        """Open these connections, and remove each from the queue when that begins."""
        while accepted:
            connection = accepted.popleft()
            if self.metrics is not None and not isinstance(connection, ReturnedSocket):
                self.metrics.accepted += 1
                self.metrics.accept_to_app.add(time.monotonic() - connection.accepted_at)
            if isinstance(connection, ReturnedSocket) or (self.tls is None and self._trusted is None):
                self._open_now(connection)
            else:
                self._open_in_task(connection)
        if self._started:
            # Runs after the calls of `connection_made`, in the same iteration of the loop.
            self._loop.call_soon(self._finish_started)

    def close(self) -> list[AcceptedSocket]:
        """Open nothing more; return the connections that no protocol has and that nothing was read from."""
        self._is_closed = True
        not_started, self._not_started = self._not_started, set()
        started, self._started = self._started, []
        return [*not_started, *[taken for opening in started if (taken := opening.reclaim()) is not None]]

    # Where nothing has to be waited for.

    def _open_now(self, accepted: AcceptedSocket) -> None:
        opening = PendingConnection(accepted, self._make_connection_for, self._registry)
        try:
            opening.start(self._loop)
        except StopIteration:
            # It is open: this loop's coroutine did not wait.
            return
        except OSError:
            # The client has left.
            accepted.close()
        except Exception as error:
            accepted.close()
            self._loop.call_exception_handler({"message": "Opening a connection failed", "exception": error})
        else:
            self._started.append(opening)

    def _make_connection_for(self, accepted: AcceptedSocket) -> ConnectionProtocol:
        if isinstance(accepted, ReturnedSocket):
            return self._make_resumed(accepted, ProxiedAddresses(accepted.peername, copy_address(accepted.sockname)))
        return self._make_connection(self._find_addresses(accepted), None)

    def _finish_started(self) -> None:
        started, self._started = self._started, []
        for opening in started:
            opening.finish()

    def _find_addresses(self, accepted: AcceptedSocket) -> ProxiedAddresses | None:
        """Return the addresses that the accept gave, or None if it did not give the server's."""
        sockname = accepted.sockname
        if sockname is None:
            return None
        if sockname not in self._server_addresses:
            # A copy of the loop's own: the listener's address belongs to the thread that accepts.
            self._server_addresses[sockname] = copy_address(parse_local_address(sockname))
        return ProxiedAddresses(parse_peer_address(accepted.peername), self._server_addresses[sockname])

    # With a PROXY header, or encrypted.

    def _open_in_task(self, accepted: AcceptedSocket) -> None:
        self._not_started.add(accepted)
        task = self._loop.create_task(self._open(accepted))
        self._registry.opening.add(task)
        task.add_done_callback(self._registry.on_opened)

    async def _open(self, accepted: AcceptedSocket) -> None:
        if accepted not in self._not_started:
            # The loop server ended before this task began, and has returned the connection.
            return
        self._not_started.discard(accepted)
        proxied: ProxiedAddresses | None = None
        if self._trusted is not None:
            try:
                proxied = await self._read_proxy_header(accepted, self._trusted)
            except (ProxyHeaderError, OSError) as error:
                level = logging.WARNING if isinstance(error, ProxyHeaderError) else logging.DEBUG
                logger.log(level, "No PROXY header from %s: %s", format_accepted_client(accepted), error)
                accepted.close()
                return
            except asyncio.CancelledError:
                accepted.close()
                raise
        transport = await self._connect(accepted, proxied or self._find_addresses(accepted))
        if transport is not None and self._is_closed:
            transport.abort()

    async def _connect(
        self, accepted: AcceptedSocket, proxied: ProxiedAddresses | None
    ) -> asyncio.WriteTransport | None:
        """Return the transport, or None if the connection or the handshake failed."""
        loop, tls = self._loop, self.tls
        protocol = self._make_connection(proxied, tls)
        try:
            if tls is None:
                transport, _ = await loop.connect_accepted_socket(lambda: protocol, accepted)
            else:
                transport, _ = await loop.connect_accepted_socket(
                    lambda: protocol,
                    accepted,
                    ssl=tls.context,
                    ssl_handshake_timeout=self._timeout_ssl_handshake,
                    ssl_shutdown_timeout=TLS_SHUTDOWN_SECONDS,
                )
        except OSError as error:
            # The client has left, or its handshake has failed.
            if tls is not None:
                log_failed_handshake(format_accepted_client(accepted), error)
                if self.metrics is not None:
                    self.metrics.tls_failures += 1
            accepted.close()
            return None
        except asyncio.CancelledError:
            # uvloop closes the transport without calling the protocol, which may be serving by now.
            protocol.connection_lost(None)
            raise
        if tls is not None and self.metrics is not None:
            self.metrics.tls_handshakes += 1
        return transport

    async def _read_proxy_header(self, accepted: AcceptedSocket, trusted: TrustedHosts) -> ProxiedAddresses | None:
        """Return the addresses in the PROXY header. Raises `ProxyHeaderError` or `OSError`."""
        if not trusted.trusts(find_client_host(accepted)):
            raise ProxyHeaderError("--forwarded-allow-ips does not have this address")
        accepted.setblocking(False)
        try:
            async with asyncio.timeout(self._timeout_proxy_header):
                return await read_proxy_header(self._loop, accepted)
        except TimeoutError:
            raise ProxyHeaderError(
                f"it did not come within {format_count(self._timeout_proxy_header, 'second')}"
            ) from None


async def read_proxy_header(loop: asyncio.AbstractEventLoop, accepted: socket.socket) -> ProxiedAddresses | None:
    """Read the PROXY header from a socket, and no byte of what follows it. Raises `ProxyHeaderError` or `OSError`."""
    received = b""
    while True:
        await wait_readable(loop, accepted)
        try:
            seen = accepted.recv(PEEK_BYTES, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            continue
        if not seen:
            raise ConnectionResetError("the connection ended before it was complete")
        header = parse_proxy_header(received + seen)
        # As long as the header is incomplete, all that has come is part of it.
        received += accepted.recv(len(seen) if header is None else header.size - len(received))
        if header is not None:
            return header.addresses


async def wait_readable(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    """Wait until a socket can be read."""
    arrived = asyncio.Event()
    loop.add_reader(connection, arrived.set)
    try:
        await arrived.wait()
    finally:
        loop.remove_reader(connection)


def log_failed_handshake(client: str, error: OSError) -> None:
    """Log a failed TLS handshake. A client that disagrees may tell something about settings; one that left does not."""
    if isinstance(error, ssl.SSLCertVerificationError):
        logger.info("TLS handshake with %s failed: %s", client, error.verify_message)
    elif isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        logger.info("TLS handshake with %s failed: %s", client, TLS_ERROR_WORDS.get(error.reason, reason))
    else:
        logger.debug("TLS handshake with %s was not completed: %s", client, error or type(error).__name__)


def find_client_host(accepted: AcceptedSocket) -> str | None:
    """Return the client's host for `TrustedHosts`: its address, or the Unix socket that it connected to."""
    address = parse_peer_address(accepted.peername) or parse_local_address(accepted.sockname)
    return address[0] if address else None


def format_accepted_client(accepted: AcceptedSocket) -> str:
    """Return a connection's client for the log."""
    return format_client(parse_peer_address(accepted.peername)) or "a Unix socket"


def copy_address(address: LocalAddress | None) -> LocalAddress | None:
    """Return a copy of an address whose references no other thread counts."""
    if address is None:
        return None
    host, port = address
    return host[:1] + host[1:], port + 0 if port is not None else None
