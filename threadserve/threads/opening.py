"""From an accepted socket to a served connection: the PROXY header, the TLS handshake, the HTTP connection.

Runs on the loop's own thread, for one loop, and never blocks it: a client that stalls here keeps nobody waiting and is
given up after its time. It owns a socket from the time when it takes it until the loop's transport does.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast

from threadserve.config import Config
from threadserve.http.peer import format_client, parse_address, parse_local_address
from threadserve.listening.accepted import AcceptedSocket, ReturnedSocket
from threadserve.logging.wording import format_count
from threadserve.metrics.loop_metrics import LoopMetrics
from threadserve.proxies.forwarded import TrustedHosts
from threadserve.proxies.protocol import ProxiedAddresses, ProxyHeaderError, parse_proxy_header
from threadserve.tls.certificates import LoopTls
from threadserve.types import LocalAddress

logger = logging.getLogger("threadserve.error")

# How long, in seconds, a client may take to answer the end of its encrypted connection, and to take what is left of it.
TLS_SHUTDOWN = 30.0
PEEK = 4096
# OpenSSL's reasons that need other words.
SAID = {"HTTP_REQUEST": "the client speaks plain HTTP"}


# What serves a connection, from the addresses to use in place of the transport's and what encrypts it.
MakeConnection = Callable[[ProxiedAddresses | None, LoopTls | None], Any]
# What serves one that a loop has given back, from its addresses.
MakeAgain = Callable[[ReturnedSocket, ProxiedAddresses], Any]


class Registry(Protocol):
    """What a loop serves, as far as connections are concerned that are being opened; each of them can be cancelled."""

    opening: set[Any]

    def on_opened(self, opening: Any) -> None:
        """A connection that was being opened is open, or has failed to."""
        ...


class Opening:
    """A connection that is to be told of its transport in the loop's next turn, as the transport's first protocol.

    It takes the place of a task, which costs more than all the rest: it makes the two steps of the coroutine
    `connect_accepted_socket` itself, the second when what that waits for has happened.
    """

    __slots__ = ("_accepted", "_coroutine", "_is_over", "_make", "_registry", "_waiter")

    def __init__(self, accepted: AcceptedSocket, make: Callable[[AcceptedSocket], Any], registry: Registry) -> None:
        self._accepted = accepted
        self._make = make
        self._registry = registry
        self._is_over = False

    def __call__(self) -> "Opening":
        """Itself, as the protocol that the transport is made with."""
        return self

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Makes the transport. Raises what comes of a socket that the loop cannot use."""
        self._coroutine = loop.connect_accepted_socket(cast("Any", self), self._accepted)
        self._waiter: asyncio.Future[Any] = self._coroutine.send(None)
        self._registry.opening.add(self)

    def finish(self, _: object = None) -> None:
        """Makes the coroutine's last step, now or when it is time for that."""
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
        """The transport is about to read: for the connection, unless that was taken back."""
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
        """The transport is closed, which had no connection."""

    def take_back(self) -> AcceptedSocket | None:
        """Returns the connection, of which nothing will have been read, unless that has been told of its transport.

        The transport is closed when it would be told: closed earlier, uvloop's would break.
        """
        if self._is_over:
            return None
        self._is_over = True
        try:
            return self._accepted.dup()
        except OSError as error:
            logger.debug("A connection from %s is lost: %s", client_of(self._accepted), error)
            return None

    def cancel(self) -> None:
        """Does nothing: it does not wait for the client."""


class Opener:
    """Opens the connections of one loop. `tls`, if any, is what encrypts the next one, and `metrics` counts them."""

    __slots__ = (
        "_begun",
        "_is_closed",
        "_loop",
        "_make_again",
        "_make_connection",
        "_registry",
        "_servers",
        "_timeout_proxy_header",
        "_timeout_ssl_handshake",
        "_trusted",
        "_unbegun",
        "metrics",
        "tls",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        registry: Registry,
        make_connection: MakeConnection,
        make_again: MakeAgain,
        config: Config,
        tls: LoopTls | None,
        metrics: LoopMetrics | None = None,
    ) -> None:
        self.tls = tls
        self.metrics = metrics
        self._loop = loop
        self._registry = registry
        self._make_connection = make_connection
        self._make_again = make_again
        self._trusted = TrustedHosts(config.forwarded_allow_ips) if config.proxy_protocol else None
        self._timeout_ssl_handshake = config.timeout_ssl_handshake
        self._timeout_proxy_header = config.timeout_ssl_handshake if tls else config.timeout_request_header
        self._servers: dict[object, LocalAddress | None] = {}
        self._begun: list[Opening] = []
        self._unbegun: set[AcceptedSocket] = set()
        self._is_closed = False

    def open_all(self, accepted: deque[AcceptedSocket]) -> None:
        """Has these connections served, and takes each out when that begins."""
        while accepted:
            connection = accepted.popleft()
            if self.metrics is not None and not isinstance(connection, ReturnedSocket):
                self.metrics.accepted += 1
                self.metrics.accept_to_app.add(time.monotonic() - connection.accepted_at)
            if isinstance(connection, ReturnedSocket) or (self.tls is None and self._trusted is None):
                self._open_at_once(connection)
            else:
                self._open_in_task(connection)
        if self._begun:
            # Behind what tells each protocol of its connection: in the same turn of the loop.
            self._loop.call_soon(self._finish_begun)

    def close(self) -> list[AcceptedSocket]:
        """Opens nothing further; returns the connections that no protocol knows of, and that nothing was read from."""
        self._is_closed = True
        unbegun, self._unbegun = self._unbegun, set()
        begun, self._begun = self._begun, []
        return [*unbegun, *[taken for opening in begun if (taken := opening.take_back()) is not None]]

    # Where nothing has to be waited for.

    def _open_at_once(self, accepted: AcceptedSocket) -> None:
        opening = Opening(accepted, self._make_plain, self._registry)
        try:
            opening.begin(self._loop)
        except StopIteration:
            # It is open: a loop need not have the coroutine wait.
            return
        except OSError:
            # The client is gone already.
            accepted.close()
        except Exception as error:
            accepted.close()
            self._loop.call_exception_handler({"message": "Opening a connection failed", "exception": error})
        else:
            self._begun.append(opening)

    def _make_plain(self, accepted: AcceptedSocket) -> Any:
        if isinstance(accepted, ReturnedSocket):
            return self._make_again(accepted, ProxiedAddresses(accepted.peername, unshared(accepted.sockname)))
        return self._make_connection(self._addresses_of(accepted), None)

    def _finish_begun(self) -> None:
        begun, self._begun = self._begun, []
        for opening in begun:
            opening.finish()

    def _addresses_of(self, accepted: AcceptedSocket) -> ProxiedAddresses | None:
        """The addresses that the accept told, or None where it did not tell the server's."""
        sockname = accepted.sockname
        if sockname is None:
            return None
        if sockname not in self._servers:
            # The loop's own copy: the listener's name belongs to the thread that accepts.
            self._servers[sockname] = unshared(parse_local_address(sockname))
        return ProxiedAddresses(parse_address(accepted.peername), self._servers[sockname])

    # With a PROXY header, or encrypted.

    def _open_in_task(self, accepted: AcceptedSocket) -> None:
        self._unbegun.add(accepted)
        task = self._loop.create_task(self._open(accepted))
        self._registry.opening.add(task)
        task.add_done_callback(self._registry.on_opened)

    async def _open(self, accepted: AcceptedSocket) -> None:
        if accepted not in self._unbegun:
            # The loop server ended before this began, and has given the connection back.
            return
        self._unbegun.discard(accepted)
        announced: ProxiedAddresses | None = None
        if self._trusted is not None:
            try:
                announced = await self._read_announcement(accepted, self._trusted)
            except (ProxyHeaderError, OSError) as error:
                level = logging.WARNING if isinstance(error, ProxyHeaderError) else logging.DEBUG
                logger.log(level, "No PROXY header from %s: %s", client_of(accepted), error)
                accepted.close()
                return
            except asyncio.CancelledError:
                accepted.close()
                raise
        transport = await self._connect(accepted, announced or self._addresses_of(accepted))
        if transport is not None and self._is_closed:
            transport.abort()

    async def _connect(
        self, accepted: AcceptedSocket, announced: ProxiedAddresses | None
    ) -> asyncio.WriteTransport | None:
        """Returns the transport, or None where it came to nothing."""
        loop, tls = self._loop, self.tls
        protocol = self._make_connection(announced, tls)
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
                log_failed_handshake(client_of(accepted), error)
                if self.metrics is not None:
                    self.metrics.tls_failures += 1
            accepted.close()
            return None
        except asyncio.CancelledError:
            # uvloop closes the transport without another word to the protocol, which may be serving by now.
            protocol.connection_lost(None)
            raise
        if tls is not None and self.metrics is not None:
            self.metrics.tls_handshakes += 1
        return transport

    async def _read_announcement(self, accepted: AcceptedSocket, trusted: TrustedHosts) -> ProxiedAddresses | None:
        """What the PROXY header says. Raises `ProxyHeaderError`, `OSError`, `TimeoutError`."""
        if not trusted.trusts(peer_host(accepted)):
            raise ProxyHeaderError("--forwarded-allow-ips does not have this address")
        accepted.setblocking(False)
        try:
            async with asyncio.timeout(self._timeout_proxy_header):
                return await read_announcement(self._loop, accepted)
        except TimeoutError:
            raise ProxyHeaderError(
                f"it did not come within {format_count(self._timeout_proxy_header, 'second')}"
            ) from None


async def read_announcement(loop: asyncio.AbstractEventLoop, accepted: socket.socket) -> ProxiedAddresses | None:
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
            return header.addresses


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


def peer_host(accepted: AcceptedSocket) -> str | None:
    """The client of a connection, as `TrustedHosts` knows it: by its address, or by the Unix socket that it came to."""
    address = parse_address(accepted.peername) or parse_local_address(accepted.sockname)
    return address[0] if address else None


def client_of(accepted: AcceptedSocket) -> str:
    """The client of a connection, as a line about it names it."""
    return format_client(parse_address(accepted.peername)) or "a Unix socket"


def unshared(address: LocalAddress | None) -> LocalAddress | None:
    """A copy of an address whose references no other thread counts."""
    if address is None:
        return None
    host, port = address
    return host[:1] + host[1:], port + 0 if port is not None else None
