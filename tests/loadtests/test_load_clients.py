"""Short runs of the clients against a server."""

import asyncio
import os
import resource
import socketserver
import sys
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest
from support.waiting import DEADLINE
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from loadtests.clients import admin, echo, idle, kept, paused, resting, spread, streaming
from loadtests.errors import LoadTestError
from loadtests.figures.operations import STALLED_SOON, administered
from loadtests.request import Request
from loadtests.servers import fixed_bytes
from loadtests.servers.commands import Server, threadserve
from loadtests.servers.interpreters import environment
from loadtests.servers.processes import Running, free_port, serving


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


def test_requests_on_kept_connections_are_timed_beside_blocking_ones(tmp_path: Path) -> None:
    with served(threadserve("ordinary", 2), "loadtests.apps.blocking:app", tmp_path) as running:
        times = kept.run(running.port, 0.6)
    assert len(times.quick) >= kept.CONNECTIONS
    assert all(took >= 500 for took in times.blocking)
    assert times.failures == []


@pytest.mark.parametrize("app", ["app", "computing"])
def test_health_is_timed_while_requests_block(app: str, tmp_path: Path) -> None:
    """For as many times as were asked for, of good and bad health."""
    server = administered(2, *STALLED_SOON, build="ordinary")
    with served(server, f"loadtests.apps.blocking:{app}", tmp_path) as running:
        times = admin.run(running.port, 0.5, 20, 8)
    assert len(times.quick) == 10
    assert times.failures == []


def test_metrics_are_timed(tmp_path: Path) -> None:
    with served(administered(1, build="ordinary"), "loadtests.apps.hello:app", tmp_path) as running:
        times = admin.run(running.port, 0.5, 20)
    assert len(times.quick) == 10
    assert times.failures == []


def test_without_an_admin_address_nothing_is_timed(tmp_path: Path) -> None:
    with served(threadserve("ordinary", 1), "loadtests.apps.hello:app", tmp_path) as running:
        with pytest.raises(LoadTestError, match=r"no answers: .*/metrics: ConnectionRefusedError "):
            admin.run(running.port, 0.1, 20)
        with pytest.raises(LoadTestError, match=r"the admin client failed: .*not every loop is blocked: Conn"):
            admin.run(running.port, 0.1, 20, 1)


def test_a_blocking_request_that_fails_is_noted() -> None:
    failures: list[str] = []
    asyncio.run(admin.block(free_port(), failures))
    (failure,) = failures
    assert failure.startswith("/block: ConnectionRefusedError ")


def test_requests_of_connections_that_pause_are_counted(tmp_path: Path) -> None:
    """After the starts nothing is left out: each connection asks about once in a pause."""
    with served(threadserve("ordinary", 2), "loadtests.apps.hello:app", tmp_path) as running:
        result = paused.run(running.port, running.pid, 30, paused.PAUSE_SECONDS)
    assert 15 <= result.requests <= 45
    assert result.seconds >= paused.PAUSE_SECONDS
    assert result.cpu_seconds >= 0
    assert result.client_cpu_share > 0


def test_requests_are_counted_by_the_thread_that_answers(tmp_path: Path) -> None:
    with served(threadserve("ordinary", spread.THREADS), "loadtests.apps.thread_name:app", tmp_path) as running:
        named = spread.run(running.port, 1.0)
    assert set(named) <= {f"threadserve-{number}" for number in range(1, spread.THREADS + 1)}
    assert sum(named.values()) >= spread.CONNECTIONS
    assert spread.busiest_over_mean(named) >= 1


def test_threads_without_requests_count_for_the_mean() -> None:
    assert spread.busiest_over_mean({"threadserve-1": 30, "threadserve-2": 10}) == pytest.approx(3.0)
    for named in ({}, {str(number): 1 for number in range(spread.THREADS + 1)}):
        with pytest.raises(LoadTestError, match=f"{len(named)} threads have answered, not {spread.THREADS}"):
            spread.busiest_over_mean(named)


def test_resting_connections_are_weighed(tmp_path: Path) -> None:
    with served(threadserve("ordinary", 2), "loadtests.apps.hello:app", tmp_path) as running:
        result = resting.run(running.port, running.pid, 100, 0.5)
    assert result.connections == 100
    assert result.before > 0
    assert result.opening_seconds > 0
    assert resting.RestingResult(2000, 20.0, 28.0, 1.0).kilobytes == pytest.approx(4.0)


class AnswersOnce(socketserver.BaseRequestHandler):
    """Closes a connection after one answer, of which the answer says nothing."""

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(fixed_bytes.RESPONSE)


def test_a_kept_connection_that_the_server_closes_is_found_out() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), AnswersOnce) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            port = server.server_address[1]
            with pytest.raises(LoadTestError, match=r"the kept client failed: .* a kept connection got no answer"):
                kept.run(port, 0.5)
            with pytest.raises(LoadTestError, match="the server has closed 10 of 10 resting connections"):
                resting.run(port, os.getpid(), 10, 0.5)
        finally:
            server.shutdown()
            thread.join()


def test_no_more_connections_are_opened_than_files_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for hard, fits in ((resource.RLIM_INFINITY, 20_000), (100_000, 20_000), (20_000, 20_000 - idle.OTHER_FILES)):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, hard=hard: (hard, hard))
        assert idle.as_many_as_fit(20_000) == fits
        idle.allow_files(fits)
    with pytest.raises(LoadTestError, match="20000 connections need 20200 open files, the limit is 20000"):
        idle.allow_files(20_000)


def test_kilobytes_are_per_connection() -> None:
    values = idle.kilobytes(idle.IdleResult(before=20.0, with_keep_alive=28.0, with_websockets=46.0, pings=2000), 2000)
    assert values == pytest.approx({"kB beyond": 5.0, "kB per WebSocket": 9.0, "kB per keep-alive connection": 4.0})


def test_large_bodies_are_streamed(tmp_path: Path) -> None:
    server = threadserve("ordinary", 1, interface="wsgi")
    with served(server, "loadtests.apps.wsgi_streaming:app", tmp_path) as running:
        result = streaming.measure(running.port, running.pid, 1_000_001)
    assert result.upload_seconds > 0
    assert result.download_seconds >= streaming.PAUSE
