"""The other end of a connection.

Made by the connection's loop thread when the connection opens, and read by it alone; never written afterwards.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Any

from threadserve.proxies.forwarded import TrustedHosts
from threadserve.proxies.protocol import ProxiedAddresses
from threadserve.tls.certificates import LoopTls, TLSExtension
from threadserve.types import Address, LocalAddress

# A connection's protocol. Compiled classes cannot inherit from asyncio's, for which asyncio's functions ask.
ConnectionProtocol = Any
# Makes a connection's protocol, from the addresses to use in place of the transport's, and its TLS settings.
ConnectionFactory = Callable[[ProxiedAddresses | None, LoopTls | None], ConnectionProtocol]


class Peer:
    """The client of a connection, and how it is connected.

    `client` and `server` are the scope's, `scheme` is "http" or "https", `tls` is the value of the scope's `tls`
    extension on an encrypted connection, and `label` is the client as the log names it. With `is_trusted`, the headers
    that a proxy there sends are believed.
    """

    __slots__ = ("client", "is_trusted", "label", "scheme", "server", "tls")

    def __init__(
        self, client: Address | None, server: LocalAddress | None, tls: TLSExtension | None, is_trusted: bool
    ) -> None:
        self.client = client
        self.server = server
        self.label = format_client(client)
        self.scheme = "http" if tls is None else "https"
        self.tls = tls
        self.is_trusted = is_trusted


def make_peer(
    transport: asyncio.BaseTransport, proxied: ProxiedAddresses | None, trusted: TrustedHosts, tls: LoopTls | None
) -> Peer:
    """Return the other end of a transport, encrypted where there is `tls`.

    Addresses that a proxy has announced, `proxied`, take precedence over the socket's own.
    """
    client, server = proxied or (
        parse_peer_address(transport.get_extra_info("peername")),
        parse_local_address(transport.get_extra_info("sockname")),
    )
    facts = None if tls is None else tls.describe(transport.get_extra_info("ssl_object"))
    return Peer(client, server, facts, trusted.trusts_peer(client, server))


def has_hung_up(transport: asyncio.BaseTransport) -> bool:
    """Return whether the system knows that nothing reaches the other end of a transport any more."""
    if transport.is_closing():
        return False
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def format_client(client: Address | None) -> str:
    """Return a client as the log names it, as Uvicorn does; empty for a Unix socket."""
    return f"{client[0]}:{client[1]}" if client else ""


def parse_peer_address(name: object) -> Address | None:
    """Return the host and port of a socket's name, or None for a Unix socket."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else None


def parse_local_address(name: object) -> LocalAddress | None:
    """Return the address of the server's end: a Unix socket has its path and None (ASGI HTTP spec, `server`)."""
    if isinstance(name, bytes):
        name = name.decode("utf-8", "surrogateescape")
    return (name, None) if isinstance(name, str) and name else parse_peer_address(name)
