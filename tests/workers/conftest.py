"""Fixtures for servers of several processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.raw_client import Connect, clients
from support.workers import StartWorkers, worker_servers


@pytest.fixture
def start_workers(tmp_path: Path) -> Iterator[StartWorkers]:
    """`start_workers(*options, count=2)` starts a supervisor and waits until all its workers serve."""
    with worker_servers(tmp_path) as start:
        yield start


@pytest.fixture
def connect(start_workers: StartWorkers) -> Iterator[Connect]:
    """`connect(server)` opens a connection; it is closed before the server is killed."""
    with clients() as open_client:
        yield open_client
