"""Serves every test of this folder with HTTP/2, on one loop thread and without lifespan unless it asks for them."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.embedded_server import Serve, servers
from support.error_log import ErrorLog
from support.http2_client import ConnectH2, http2_clients

# The clients of these tests may be slower to go on than real ones are, and yet get their answers.
DEFAULTS: dict[str, Any] = {"threads": 1, "lifespan": "off", "timeout_keep_alive": 60, "http2": True}


@pytest.fixture
def serve(error_log: ErrorLog) -> Iterator[Serve]:
    """`serve(app, **settings)` starts a server for this test."""
    with servers(**DEFAULTS) as start:
        yield start


@pytest.fixture
def connect_h2() -> Iterator[ConnectH2]:
    """`connect_h2(server, settings)` connects an `H2Client`."""
    with http2_clients() as connect:
        yield connect
