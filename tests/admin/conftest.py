"""Serves every test of this folder with an admin address, on one loop and without lifespan unless it asks for them."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.embedded_server import Serve, servers
from support.error_log import ErrorLog

DEFAULTS: dict[str, Any] = {"threads": 1, "lifespan": "off", "admin_bind": "127.0.0.1:0"}


@pytest.fixture
def serve(error_log: ErrorLog) -> Iterator[Serve]:
    """`serve(app, **settings)` starts a server for this test."""
    with servers(**DEFAULTS) as start:
        yield start
