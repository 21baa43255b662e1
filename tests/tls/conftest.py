"""An authority with a server's and a client's identity for all tests of this folder, and servers that use them."""

import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from support.certificates import Authority, Identity, has_openssl
from support.embedded_server import Serve, servers
from support.error_log import ErrorLog
from support.raw_client import RawClient, clients
from support.tls_client import ConnectTls, encrypt


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the clients trust."""
    if not has_openssl():
        pytest.skip("there is no openssl command")
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def identity(authority: Authority) -> Identity:
    """The server's."""
    return authority.sign("server")


@pytest.fixture(scope="session")
def client_identity(authority: Authority) -> Identity:
    """A client's."""
    return authority.sign("client", "/C=DE/O=Acme, Inc./CN=Alice")


@pytest.fixture
def serve(error_log: ErrorLog, identity: Identity, loop: str) -> Iterator[Serve]:
    """`serve(app, **settings)` starts a server with TLS for this test."""
    defaults: dict[str, Any] = {"threads": 1, "lifespan": "off", "loop": loop, **identity.settings}
    with servers(**defaults) as start:
        yield start


@pytest.fixture
def connect_tls(serve: Serve, authority: Authority) -> Iterator[ConnectTls]:
    """`connect_tls(server)` opens an encrypted connection, for which it takes a context of its own as well."""
    with clients() as connect:

        def open_client(server: Any, context: ssl.SSLContext | None = None, **options: Any) -> RawClient:
            return encrypt(connect(server, **options), context or authority.client_context())

        yield open_client
