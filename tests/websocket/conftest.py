"""Servers with one loop thread and without lifespan unless a test asks for it, and clients that speak in frames."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.embedded_server import Serve, servers
from support.error_log import ErrorLog
from support.websocket_client import ConnectWebSocket, websocket_clients

DEFAULTS: dict[str, Any] = {"threads": 1, "lifespan": "off"}


@pytest.fixture(params=["auto", "h11", "httptools"])
def parser(request: pytest.FixtureRequest) -> str:
    """The HTTP parser, for tests of the handshake: `serve(app, http=parser)`."""
    return str(request.param)


@pytest.fixture
def serve(error_log: ErrorLog) -> Iterator[Serve]:
    """`serve(app, **settings)` starts a server for this test."""
    with servers(**DEFAULTS) as start:
        yield start


@pytest.fixture(scope="module")
def serve_shared(all_errors: ErrorLog) -> Iterator[Serve]:
    """`serve_shared(app, **settings)` starts a server for all tests of a module."""
    with servers(**DEFAULTS) as start:
        yield start


@pytest.fixture
def connect(error_log: ErrorLog) -> Iterator[ConnectWebSocket]:
    """`connect(server)` opens a connection to a server; it is closed before the server is stopped."""
    with websocket_clients() as open_client:
        yield open_client
