"""The limits at which a process ends or is replaced."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from support.apps import hello
from support.embedded_server import EmbeddedServer
from support.waiting import DEADLINE

from threadserve import Config
from threadserve.runtime.process_limits import ProcessLimits, add_jitter

ROOT = Path(__file__).parents[2]


def test_without_limits_none_is_reached() -> None:
    assert not ProcessLimits(Config("module:app"), lambda: 10**9).check(with_memory=True)


def test_a_limit_stays_reached_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    count = 0
    limits = ProcessLimits(Config("module:app", limit_max_requests=3), lambda: count)
    assert not limits.check(with_memory=True)
    count = 3
    with caplog.at_level(logging.WARNING):
        assert limits.check(with_memory=True)
        assert limits.check(with_memory=False)
    assert [record.getMessage() for record in caplog.records] == [
        "Maximum request limit of 3 exceeded. Terminating process."
    ]


def test_memory_is_looked_at_when_that_is_asked_for() -> None:
    limits = ProcessLimits(Config("module:app", limit_max_memory=1000), lambda: 0)
    assert not limits.check(with_memory=False)
    assert limits.check(with_memory=True)
    assert not ProcessLimits(Config("module:app", limit_max_memory=2**50), lambda: 0).check(with_memory=True)


def test_jitter_is_added_to_a_limit_only() -> None:
    assert {add_jitter(10, 2) for _ in range(200)} == {10, 11, 12}
    assert add_jitter(None, 5) == 0


def test_resident_memory_grows_with_what_is_allocated() -> None:
    # In a process of its own, which has no memory that was used before and is free again.
    code = (
        "from threadserve.runtime.process_limits import read_resident_bytes as used; "
        "before = used(); block = bytearray(b'x') * 2**26; "
        "print(used() - before, len(block))"
    )
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    growth, size = map(int, output.split())
    assert size / 2 < growth < 4 * size


def test_without_workers_the_limit_of_memory_stops_the_server() -> None:
    server = EmbeddedServer(hello, limit_max_memory=1000)
    server.start()
    server.thread.join(DEADLINE)
    assert not server.thread.is_alive()
    server.stop()
