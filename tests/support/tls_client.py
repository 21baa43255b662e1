"""Raw clients on encrypted connections."""

import ssl
from collections.abc import Callable

from support.raw_client import RawClient

ConnectTls = Callable[..., RawClient]


def encrypt(client: RawClient, context: ssl.SSLContext) -> RawClient:
    """Begins TLS on a client's connection. An end without close_notify raises `ssl.SSLEOFError` where it is read."""
    client.socket = context.wrap_socket(client.socket, server_hostname="localhost", suppress_ragged_eofs=False)
    return client


def tls_socket(client: RawClient) -> ssl.SSLSocket:
    """The socket of such a client."""
    assert isinstance(client.socket, ssl.SSLSocket)
    return client.socket
