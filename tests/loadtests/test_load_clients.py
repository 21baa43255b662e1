"""Short runs of the clients against a server."""

import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from loadtests.clients import echo, idle, streaming
from loadtests.errors import LoadTestError
from loadtests.request import Request
from loadtests.servers.commands import Server, threadserve
from loadtests.servers.interpreters import environment
from loadtests.servers.processes import Running, serving


def served(server: Server, app: str, folder: Path) -> AbstractContextManager[Running]:
    return serving(server, sys.executable, app, Request(), environment(), folder)


@pytest.mark.parametrize("size", [100, 65_000])
def test_messages_come_back(size: int, tmp_path: Path) -> None:
    with served(threadserve("ordinary", 1, ws="auto"), "loadtests.apps.echo:app", tmp_path) as running:
        result = echo.run(running.port, size, 0.1, 0.5)
    assert result.messages > 0
    assert result.seconds >= 0.5
    assert result.messages_per_second == pytest.approx(result.messages / result.seconds)
    assert result.client_cpu_share > 0


def test_pings_are_answered_while_messages_come_back(tmp_path: Path) -> None:
    """The server gives up a client that does not answer."""
    options = ("--ws-ping-interval", "0.1", "--ws-ping-timeout", "0.3")
    with served(threadserve("ordinary", 1, *options, ws="auto"), "loadtests.apps.echo:app", tmp_path) as running:
        assert echo.measure(running.port, 2, 100, 0.0, 1.0).silent_connections == 0


def test_other_answers_than_those_wanted_are_found_out(tmp_path: Path) -> None:
    with served(threadserve("ordinary", 1), "loadtests.apps.hello:app", tmp_path) as running:
        with pytest.raises(LoadTestError, match=r"the echo client failed: .*does not accept a WebSocket"):
            echo.run(running.port, 100, 0.1, 0.1)
        with pytest.raises(LoadTestError, match="the server sent 13 of 100 bytes"):
            streaming.download(running.port, 100)
        with pytest.raises(LoadTestError, match="the server did not take 100 bytes"):
            streaming.upload(running.port, 100)


def test_idle_connections_are_weighed(tmp_path: Path) -> None:
    server = threadserve("ordinary", 1, "--ws-ping-interval", "0.2", ws="auto")
    with served(server, "loadtests.apps.echo:app", tmp_path) as running:
        result = idle.run(running.port, running.pid, 20)
    assert result.pings >= 20
    assert 0 < result.before <= result.with_websockets


def test_kilobytes_are_per_connection() -> None:
    values = idle.kilobytes(idle.IdleResult(before=20.0, with_keep_alive=28.0, with_websockets=46.0, pings=2000), 2000)
    assert values == pytest.approx({"kB beyond": 5.0, "kB per WebSocket": 9.0, "kB per keep-alive connection": 4.0})


def test_large_bodies_are_streamed(tmp_path: Path) -> None:
    server = threadserve("ordinary", 1, interface="wsgi")
    with served(server, "loadtests.apps.wsgi_streaming:app", tmp_path) as running:
        result = streaming.measure(running.port, running.pid, 1_000_001)
    assert result.upload_seconds > 0
    assert result.download_seconds >= streaming.PAUSE
