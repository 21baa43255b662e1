"""Runs every test of this folder over both parsers, on one loop thread and without lifespan unless it asks for it."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.bounds import give_bounds
from support.embedded_server import Serve, servers
from support.error_log import ErrorLog

# The clients of these tests may be slower to go on than real ones are, and yet get their answers.
PATIENCE = 60
DEFAULTS: dict[str, Any] = {"threads": 1, "lifespan": "off", "timeout_keep_alive": PATIENCE}


@pytest.fixture(scope="module", autouse=True)
def _patient_lingering() -> Iterator[None]:
    """A client that still sends after its answer is not cut off while it does."""
    with pytest.MonkeyPatch.context() as patch:
        give_bounds(patch, linger_seconds=PATIENCE)
        yield


@pytest.fixture(scope="session", params=["auto", "h11", "httptools"])
def parser(request: pytest.FixtureRequest) -> str:
    """The parser under test."""
    return str(request.param)


@pytest.fixture
def serve(error_log: ErrorLog, parser: str) -> Iterator[Serve]:
    """`serve(app, **settings)` starts a server with the parser under test for this test."""
    with servers(http=parser, **DEFAULTS) as start:
        yield start


@pytest.fixture(scope="module")
def serve_shared(all_errors: ErrorLog, parser: str) -> Iterator[Serve]:
    """`serve_shared(app, **settings)` starts a server with the parser under test for all tests of a module."""
    with servers(http=parser, **DEFAULTS) as start:
        yield start
