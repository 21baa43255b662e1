"""Short runs of the clients against a server."""

import asyncio
import os
import resource
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from loadtests.clients import echo, process, resting, streaming
from loadtests.clients.asking import Group
from loadtests.errors import LoadTestError
from loadtests.figures.table import BLOCKED, LIVE, METRICS, READY, UNHEALTHY, administered
from loadtests.generators.result import LoadResult
from loadtests.harness.loads import busiest_over_mean
from loadtests.request import Request
from loadtests.servers import fixed_bytes
from loadtests.servers.commands import Server, threadserve
from loadtests.servers.interpreters import environment
from loadtests.servers.processes import Running, serving


def served(server: Server, app: str, folder: Path) -> AbstractContextManager[Running]:
    return serving(server, sys.executable, app, Request(), environment(), folder)


def asked(port: int, groups: list[Group], seconds: float, warm_up: float = 0.0, **others: Any) -> LoadResult:
    return process.load("asking", port=port, groups=groups, seconds=seconds, warm_up=warm_up, **others)


def test_messages_come_back_and_idle_connections_are_weighed(tmp_path: Path) -> None:
    """There are more of them than were there before, which the server may not have freed yet.

    They are weighed before large messages come, whose memory would be freed meanwhile.
    """
    server = threadserve("ordinary", 1, "--ws-ping-interval", "1", "--timeout-keep-alive", "60", ws="auto")
    with served(server, "loadtests.apps.asgi:echo", tmp_path) as running:
        count = 3 * resting.WARM_UP_CONNECTIONS
        told = process.run("resting", port=running.port, pid=running.pid, count=count, rest=1.5, websockets=True)
        results = [
            process.load("echo", port=running.port, size=size, warm_up=0.1, seconds=0.5) for size in (100, 65_000)
        ]
    for result in results:
        assert result.values["messages/s"] == pytest.approx(result.requests / result.seconds)
        assert (result.requests > 0, result.seconds > 0.4, result.cpu_share > 0) == (True, True, True)
    assert told["connections"] == count
    assert told["before MB"] > 0
    assert told["websocket"] > 0


def test_pings_are_answered_while_messages_come_back() -> None:
    """A server gives up a client that does not answer."""
    were_answered: list[bool] = []

    def ping_and_echo(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            for message in connection:
                answered = connection.ping()
                connection.send(message)
                were_answered.append(answered.wait(1))

    with serve(ping_and_echo, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            told = asyncio.run(echo.measure(server.socket.getsockname()[1], 100, 0.1, 0.3))
        finally:
            server.shutdown()
            thread.join()
    assert told["requests"] > 0
    assert were_answered[:2] == [True, True]


def test_other_answers_than_those_wanted_are_found_out(tmp_path: Path) -> None:
    """Of an app that speaks no WebSocket and streams nothing, on a server without an admin address."""
    with served(threadserve("ordinary", 1), "loadtests.apps.hello:app", tmp_path) as running:
        with pytest.raises(LoadTestError, match=r"the echo client failed: .*does not accept a WebSocket"):
            process.load("echo", port=running.port, size=100, warm_up=0.1, seconds=0.1)
        with pytest.raises(LoadTestError, match="the server sent 13 of 100 bytes"):
            streaming.download(running.port, 100)
        with pytest.raises(LoadTestError, match="the server did not take 100 bytes"):
            streaming.upload(running.port, 100)
        with pytest.raises(LoadTestError, match=r"no answers: .*/metrics: ConnectionRefusedError "):
            asked(running.port, [METRICS], 0.1)


def test_requests_are_timed_beside_blocking_ones_and_health_while_all_block(tmp_path: Path) -> None:
    server = administered(2, "--timeout-loop-stall", "0.1", build="ordinary")
    with served(server, "loadtests.apps.asgi:sleeping", tmp_path) as running:
        kept = asked(running.port, [Group(connections=16, pause_seconds=0.05), BLOCKED], 1.2)
        new = asked(running.port, [Group(per_second=50, kept=False), BLOCKED], 1.2)
        blocked = [replace(group, per_second=20) for group in (LIVE, READY)]
        until = replace(LIVE, statuses=(UNHEALTHY,))
        health = asked(running.port, [*blocked, replace(BLOCKED, connections=8)], 0.5, until=until)
    assert [result.errors for result in (kept, new, health)] == [{}] * 3
    assert kept.requests >= 16
    assert (0 < new.requests <= 60, 0 < health.requests <= 20) == (True, True)
    assert all(result.percentiles["50"] > 0 for result in (kept, new, health))


def test_requests_that_pause_are_counted_after_the_warm_up_by_the_thread_that_answers(tmp_path: Path) -> None:
    """Each connection asks about once in a pause."""
    group = Group("/thread", connections=30, pause_seconds=0.5, tells_bodies=True)
    with served(threadserve("ordinary", 2), "loadtests.apps.asgi:thread_name", tmp_path) as running:
        result = asked(running.port, [group], 0.5, 1.0)
        told = process.run("resting", port=running.port, pid=running.pid, count=100, rest=0.5)
    assert 15 <= result.requests <= 45
    assert set(result.answers) <= {"threadserve-1", "threadserve-2"}
    assert sum(result.answers.values()) >= result.requests
    assert 0 < result.cpu_share < 1
    assert told["connections"] == 100


def test_threads_without_requests_count_for_the_mean() -> None:
    assert busiest_over_mean({"threadserve-1": 30, "threadserve-2": 10}, 4) == pytest.approx(3.0)
    for named in ({}, {str(number): 1 for number in range(5)}):
        with pytest.raises(LoadTestError, match=f"{len(named)} threads have answered, not 4"):
            busiest_over_mean(named, 4)


class AnswersOnce(socketserver.BaseRequestHandler):
    """Closes a connection after one answer, of which the answer says nothing."""

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(fixed_bytes.RESPONSE)


@contextmanager
def answering_once() -> Iterator[int]:
    """The port of a server that does so."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), AnswersOnce) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_a_kept_connection_that_the_server_closes_is_found_out() -> None:
    with answering_once() as port:
        with pytest.raises(LoadTestError, match=r"no answers: .*'/: IncompleteReadError"):
            asked(port, [Group()], 0.3)
        with pytest.raises(LoadTestError, match="the server has closed 10 resting connections"):
            process.run("resting", port=port, pid=os.getpid(), count=10, rest=0.5)


@pytest.mark.parametrize(("hard", "many"), [(resource.RLIM_INFINITY, 32_768), (100_000, 32_768), (20_000, 20_000)])
def test_as_many_files_are_opened_as_may_be(hard: int, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1024, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, wanted: limits.append(wanted))
    assert resting.allow_many_files() == many
    assert limits == [(many, hard)]


def test_large_bodies_are_streamed(tmp_path: Path) -> None:
    server = threadserve("ordinary", 1, interface="wsgi")
    with served(server, "loadtests.apps.wsgi:streaming", tmp_path) as running:
        told = process.run("streaming", port=running.port, size=1_000_001)
    assert set(told) == {"upload", "download"}
    began, ended = told["download"]
    assert ended - began >= streaming.PAUSE_SECONDS
