"""Short runs of the clients against a server."""

import sys
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest
from support.waiting import DEADLINE
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

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


def test_pings_are_answered_while_messages_come_back() -> None:
    """A server gives up a client that does not answer."""
    were_answered: list[bool] = []

    def ping_and_echo(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            for message in connection:
                answered = connection.ping()
                connection.send(message)
                were_answered.append(answered.wait(DEADLINE))

    with serve(ping_and_echo, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            client = echo.EchoConnection(server.socket.getsockname()[1], 100)
            with client.socket:
                client.send()
                while client.messages < 3:
                    client.receive()
        finally:
            server.shutdown()
            thread.join()
    assert were_answered[:2] == [True, True]


def test_other_answers_than_those_wanted_are_found_out(tmp_path: Path) -> None:
    with served(threadserve("ordinary", 1), "loadtests.apps.hello:app", tmp_path) as running:
        with pytest.raises(LoadTestError, match=r"the echo client failed: .*does not accept a WebSocket"):
            echo.run(running.port, 100, 0.1, 0.1)
        with pytest.raises(LoadTestError, match="the server sent 13 of 100 bytes"):
            streaming.download(running.port, 100)
        with pytest.raises(LoadTestError, match="the server did not take 100 bytes"):
            streaming.upload(running.port, 100)


def test_idle_connections_are_weighed(tmp_path: Path) -> None:
    """There are more of them than were there before, which the server may not have let go of yet."""
    count = 3 * idle.WARM_UP_CONNECTIONS
    server = threadserve("ordinary", 1, "--ws-ping-interval", "1", "--timeout-keep-alive", "60", ws="auto")
    with served(server, "loadtests.apps.echo:app", tmp_path) as running:
        result = idle.run(running.port, running.pid, count)
    assert result.pings >= count
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
