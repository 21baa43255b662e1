"""One child process, as its starter sees it."""

import http.client
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from socket import socket
from typing import Any

import pytest
from support.waiting import DEADLINE, wait_until
from support.workers import TESTS

from threadserve import Config
from threadserve.listening.tcp import bind_all, close_all, resolve_hosts
from threadserve.workers.child import ChildProcess

StartChild = Callable[..., ChildProcess]


@pytest.fixture
def listeners() -> Iterator[list[socket]]:
    """A free port of the tests' own."""
    bound = bind_all(resolve_hosts("127.0.0.1", 0))
    yield bound
    close_all(bound)


@pytest.fixture
def start_child(listeners: list[socket]) -> Iterator[StartChild]:
    """`start_child(**settings)` starts a child that serves the steered application."""
    children: list[ChildProcess] = []

    def start(app: str = "support.steered_app:app", **settings: Any) -> ChildProcess:
        child = ChildProcess(Config(app, app_dir=TESTS, log_config=None, **settings), listeners)
        child.start()
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.join(DEADLINE)
        child.close()


def connection_to(listeners: list[socket]) -> http.client.HTTPConnection:
    """A client's connection."""
    host, port = listeners[0].getsockname()
    return http.client.HTTPConnection(host, port, timeout=DEADLINE)


def follow(child: ChildProcess, condition: Callable[[], object]) -> None:
    """Takes in what the child tells until the condition holds."""

    def holds() -> object:
        wait(child.waitables(), 0.1)
        child.receive()
        return condition()

    wait_until(holds, "the child", 3 * DEADLINE)


def test_a_child_serves_on_the_listeners_of_its_starter(start_child: StartChild, listeners: list[socket]) -> None:
    child = start_child()
    assert not child.ready
    follow(child, lambda: child.ready)
    client = connection_to(listeners)
    client.request("GET", "/pid")
    assert int(client.getresponse().read()) == child.pid
    client.close()
    child.stop()
    assert child.join(DEADLINE)
    assert (child.exit_code, child.is_alive(), child.failure) == (0, False, None)


def test_a_child_tells_that_it_is_alive(start_child: StartChild) -> None:
    child = start_child(timeout_worker_healthcheck=1)
    follow(child, lambda: child.ready)
    assert all(wait([child.connection], DEADLINE) and child.receive() for _ in range(3))


def test_a_child_tells_it_more_often_where_it_is_to_be_replaced_soon(start_child: StartChild) -> None:
    child = start_child(timeout_worker_healthcheck=0.2)
    follow(child, lambda: child.ready)
    begun = time.monotonic()
    for _ in range(20):
        assert wait([child.connection], DEADLINE)
        child.connection.recv()
    # One a second would take twice as long.
    assert time.monotonic() - begun < DEADLINE


def test_a_child_that_cannot_load_the_application_tells_why(start_child: StartChild) -> None:
    child = start_child("support.steered_app:nothing")
    follow(child, lambda: not child.is_alive())
    child.receive()
    assert child.failure is not None
    assert "nothing" in child.failure.line
    assert child.exit_code == child.failure.exit_code == 3
    assert not child.ready


def test_a_child_ends_when_its_starter_lets_go(start_child: StartChild) -> None:
    child = start_child()
    follow(child, lambda: child.ready)
    child.close()
    assert child.join(DEADLINE)
    assert child.exit_code == 0


def test_a_child_that_is_killed_says_by_what(start_child: StartChild) -> None:
    child = start_child()
    child.kill()
    assert child.join(DEADLINE)
    assert child.exit_code == -signal.SIGKILL
    child.stop()


def test_a_child_that_nobody_listens_to_goes_on_serving(start_child: StartChild, listeners: list[socket]) -> None:
    child = start_child(timeout_worker_healthcheck=0.1, timeout_keep_alive=60)
    follow(child, lambda: child.ready)
    client = connection_to(listeners)
    for _ in range(200):
        client.request("GET", "/")
        assert client.getresponse().read() == b"hello"
    client.close()
    assert child.is_alive()
