"""The choice of the HTTP version that a new connection speaks (RFC 9113 section 3).

Belongs to the connection, on the loop's thread, until the version is known; it sends nothing. Over TLS the handshake
has chosen the version (ALPN); otherwise the client's first bytes tell it. `Upgrade: h2c` is ignored (section 3.1).
"""

import asyncio
from math import inf

from threadserve.http.context import LoopContext
from threadserve.http.peer import ConnectionFactory, ConnectionProtocol, make_peer
from threadserve.http2.frames import PREFACE
from threadserve.proxies.protocol import ProxiedAddresses
from threadserve.tls.certificates import LoopTls

ALPN = "h2"


class ProtocolDetector:
    """The protocol of a connection until its version of HTTP is known."""

    __slots__ = (
        "_context",
        "_data",
        "_make_http1",
        "_make_http2",
        "_proxied_addresses",
        "_tls",
        "_transport",
        "deadline",
        "release_at",
    )

    def __init__(
        self,
        context: LoopContext,
        make_http1: ConnectionFactory,
        make_http2: ConnectionFactory,
        proxied_addresses: ProxiedAddresses | None,
        tls: LoopTls | None,
    ) -> None:
        self._context = context
        self._make_http1 = make_http1
        self._make_http2 = make_http2
        self._proxied_addresses = proxied_addresses
        self._tls = tls
        self._data = b""
        self.deadline = self.release_at = inf

    # Called by the event loop.

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Switch to the version that TLS has chosen, or wait for the first bytes."""
        self._transport = transport
        encrypted = transport.get_extra_info("ssl_object")
        if encrypted is not None:
            self._switch_to(self._make_http2 if encrypted.selected_alpn_protocol() == ALPN else self._make_http1)
            return
        if self.deadline == inf:
            self.deadline = self._context.deadlines.head
        self.release_at = self._context.deadlines.release
        if self._context.releaser is not None:
            self._context.releaser.on_new_connection(self)
        self._context.registry.connections.add(self)
        if self._context.registry.is_draining:
            self.begin_shutdown()

    def data_received(self, data: bytes) -> None:
        """Switch to a version as soon as the bytes tell which."""
        self._data += data
        if self._data.startswith(PREFACE):
            self._switch_to(self._make_http2)
        elif not PREFACE.startswith(self._data):
            self._switch_to(self._make_http1)

    def eof_received(self) -> bool:
        """Leave it to HTTP/1.1 to answer a client that ends its side early."""
        goes_on: bool = self._switch_to(self._make_http1).eof_received()
        return goes_on

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, which is closed."""
        self._unregister()
        self._context.registry.check_drained()

    def pause_writing(self) -> None:
        """Do nothing: nothing has been written."""

    def resume_writing(self) -> None:
        """Do nothing: nothing has been written."""

    def _switch_to(self, make: ConnectionFactory) -> ConnectionProtocol:
        """Replace this protocol by the one that `make` returns, which gets the bytes so far; return that."""
        self._unregister()
        connection = make(self._proxied_addresses, self._tls)
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        data, self._data = self._data, b""
        if data:
            connection.data_received(data)
        return connection

    def _unregister(self) -> None:
        self.deadline = inf
        self._context.registry.connections.discard(self)

    # Called by the sweep of deadlines and by the shutdown.

    def on_deadline(self) -> None:
        """Leave it to HTTP/1.1 to answer a client that sends nothing in time."""
        self._switch_to(self._make_http1).on_deadline()

    def release(self) -> bool:
        """Give an idle connection back to the acceptor; return whether that was done (see `IdleReleaser`)."""
        releaser = self._context.releaser
        if self._data or releaser is None:
            return False
        peer = make_peer(self._transport, self._proxied_addresses, self._context.trusted_proxies, None)
        if not releaser.release(self._transport, peer, self.deadline, speaks_http1=False):
            return False
        self._unregister()
        return True

    def begin_shutdown(self) -> None:
        """Shorten the deadline: the server stops, and still serves a request that has begun to arrive."""
        deadlines = self._context.deadlines
        self.deadline = min(self.deadline, deadlines.head if self._data else deadlines.idle)

    def abort(self) -> None:
        """Close the connection at once."""
        self._unregister()
        self._transport.abort()
