"""Which version of HTTP a new connection speaks (RFC 9113 section 3).

Belongs to the connection, on the loop's thread, until that is known; it answers nothing. Over TLS the handshake has
settled it; else what a client sends first does. An `Upgrade: h2c` changes nothing (section 3.1).
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any

from threadserve.http.context import LoopContext
from threadserve.http.peer import make_peer
from threadserve.http2.frames import PREFACE
from threadserve.proxies.protocol import ProxiedAddresses
from threadserve.tls.certificates import LoopTls

ALPN = "h2"

# What serves a connection, from the addresses to use in place of the transport's and what encrypts it.
MakeConnection = Callable[[ProxiedAddresses | None, LoopTls | None], Any]


class FirstBytes:
    """The protocol of a connection whose version of HTTP is not known yet."""

    __slots__ = (
        "_announced",
        "_context",
        "_data",
        "_make_http1",
        "_make_http2",
        "_tls",
        "_transport",
        "deadline",
        "release_at",
    )

    def __init__(
        self,
        context: LoopContext,
        make_http1: MakeConnection,
        make_http2: MakeConnection,
        announced: ProxiedAddresses | None,
        tls: LoopTls | None,
    ) -> None:
        self._context = context
        self._make_http1 = make_http1
        self._make_http2 = make_http2
        self._announced = announced
        self._tls = tls
        self._data = b""
        self.deadline = self.release_at = inf

    # Called by the event loop.

    def connection_made(self, transport: asyncio.Transport) -> None:
        """The connection is open."""
        self._transport = transport
        encrypted = transport.get_extra_info("ssl_object")
        if encrypted is not None:
            self._hand_over(self._make_http2 if encrypted.selected_alpn_protocol() == ALPN else self._make_http1)
            return
        if self.deadline == inf:
            self.deadline = self._context.deadlines.head
        self.release_at = self._context.deadlines.release
        if self._context.releaser is not None:
            self._context.releaser.on_new(self)
        self._context.registry.connections.add(self)
        if self._context.registry.is_draining:
            self.begin_shutdown()

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        self._data += data
        if self._data.startswith(PREFACE):
            self._hand_over(self._make_http2)
        elif not PREFACE.startswith(self._data):
            self._hand_over(self._make_http1)

    def eof_received(self) -> bool:
        """The client sends no more."""
        goes_on: bool = self._hand_over(self._make_http1).eof_received()
        return goes_on

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by whichever side."""
        self._leave()
        self._context.registry.check_drained()

    def pause_writing(self) -> None:
        """Never: nothing is written yet."""

    def resume_writing(self) -> None:
        """Never either."""

    def _hand_over(self, make: MakeConnection) -> Any:
        """Has the connection go on as one of this version; returns that."""
        self._leave()
        connection = make(self._announced, self._tls)
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        data, self._data = self._data, b""
        if data:
            connection.data_received(data)
        return connection

    def _leave(self) -> None:
        self.deadline = inf
        self._context.registry.connections.discard(self)

    # Called by the sweep and by the shutdown.

    def on_deadline(self) -> None:
        """The client took too long, which every version answers in its own way."""
        self._hand_over(self._make_http1).on_deadline()

    def release(self) -> bool:
        """See `IdleReleaser`."""
        releaser = self._context.releaser
        if self._data or releaser is None:
            return False
        peer = make_peer(self._transport, self._announced, self._context.trusted_proxies, None)
        if not releaser.release(self._transport, peer, self.deadline, speaks_http1=False):
            return False
        self._leave()
        return True

    def begin_shutdown(self) -> None:
        """The server is stopping: the version of a request that is under way is still found out."""
        deadlines = self._context.deadlines
        self.deadline = min(self.deadline, deadlines.head if self._data else deadlines.idle)

    def abort(self) -> None:
        """Closes the connection at once."""
        self._leave()
        self._transport.abort()
