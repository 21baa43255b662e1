"""Loop threads that die while they serve, and what becomes of their connections, their listeners and the server."""

import asyncio
import socket
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from support.apps import respond, start_killer
from support.bounds import give_bounds
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, RawClient
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until

from threadserve.errors import TooManyThreadDeaths
from threadserve.types import ASGIApp, Receive, Scope, Send

GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
DISTRIBUTIONS = ["least-busy", "kernel"]
LOOPS = ["asyncio", "uvloop"]


class Mortal:
    """A factory of instances that answer with their number and thread.

    At /die one has its loop killed by a task in the background; at /block-and-die as well, after it has blocked the
    loop until `release` is set.
    """

    def __init__(self) -> None:
        self.made = 0
        self.up: list[int] = []
        self.down: list[int] = []
        self.blocked = threading.Event()
        self.release = threading.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def __call__(self) -> ASGIApp:
        self.made += 1
        number = self.made

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await self.live(number, receive, send)
                return
            if scope["path"] in ("/die", "/block-and-die"):
                self.tasks.append(start_killer())
            if scope["path"].startswith("/block"):
                self.blocked.set()
                self.release.wait(DEADLINE)
            if scope["path"] == "/die":
                await asyncio.Event().wait()
            await respond(send, b"%d on %s" % (number, threading.current_thread().name.encode()))

        return app

    async def live(self, number: int, receive: Receive, send: Send) -> None:
        await receive()
        self.up.append(number)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.down.append(number)
        await send({"type": "lifespan.shutdown.complete"})


def kill_loop(client: RawClient, errors: ErrorLog) -> None:
    """Has the loop of a client's connection killed, and waits until that is known."""
    client.send(GET % b"/die")
    record = errors.expect(SystemExit, "died")
    assert record.levelname == "CRITICAL"
    try:
        assert client.read_all() == b""
    except ConnectionResetError:
        pass
    finally:
        client.close()


@pytest.fixture(autouse=True)
def claim_cut_off_requests(error_log: ErrorLog) -> object:
    """The requests that were in flight on a dead loop are logged, as errors of the application that was cancelled."""
    yield
    messages = [record.getMessage() for record in error_log.unclaimed]
    assert not [each for each in messages if not each.startswith(("Exception in ASGI application", "Cut off "))]
    error_log.claim_all()


@pytest.mark.parametrize("loop", LOOPS)
def test_an_idle_connection_outlives_its_loop(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, connect: Connect, error_log: ErrorLog, loop: str
) -> None:
    give_bounds(monkeypatch, idle_release_seconds=0.0, tick_seconds=0.02)
    server = serve(Mortal(), factory=True, threads=1, loop=loop)
    survivor = connect(server)
    assert survivor.get().body.startswith(b"1 on ")
    serving = server.server._server_run
    assert serving is not None
    wait_until(lambda: len(cast("Any", serving._acceptor)._idle) == 1, "the connection to be idle")
    kill_loop(RawClient(server.host, server.port), error_log)
    assert survivor.get().body.startswith(b"2 on ")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("distribute", DISTRIBUTIONS)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_dead_loop_thread_is_replaced(
    serve: Serve, error_log: ErrorLog, threads: int, distribute: str, loop: str
) -> None:
    app = Mortal()
    server = serve(app, factory=True, threads=threads, distribute=distribute, loop=loop)
    victim = RawClient(server.host, server.port)
    kill_loop(victim, error_log)
    wait_until(lambda: len(app.up) == threads + 1, "the successor to be up")
    answers: set[bytes] = set()

    def ask() -> bool:
        clients = [RawClient(server.host, server.port) for _ in range(threads * 2)]
        answers.update(client.get().body for client in clients)
        for client in clients:
            client.close()
        return len(answers) == threads

    wait_until(ask, "every thread to answer")
    assert {answer.split()[2] for answer in answers} == names_of(threads)
    assert b"%d" % (threads + 1) in {answer.split()[0] for answer in answers}
    server.stop()
    assert len(app.down) == threads


def names_of(threads: int) -> set[bytes]:
    """The names of the threads that serve: a lone one is the server's own."""
    return {b"embedded-server"} if threads == 1 else {b"threadserve-%d" % (i + 1) for i in range(threads)}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("distribute", DISTRIBUTIONS)
@pytest.mark.parametrize("threads", [1, 2])
def test_what_waits_for_a_dying_loop_is_served_by_others(
    serve: Serve, connect: Connect, error_log: ErrorLog, threads: int, distribute: str, loop: str
) -> None:
    app = Mortal()
    server = serve(app, factory=True, threads=threads, distribute=distribute, loop=loop)
    blocking = connect(server)
    blocking.send(GET % b"/block-and-die")
    assert app.blocked.wait(DEADLINE)
    # With one thread or its own listeners they wait in the accept queue, and otherwise are handed to somebody.
    waiting = [connect(server) for _ in range(20)]
    for client in waiting:
        client.send(GET % b"/")
    app.release.set()
    answers = [client.read_response().body for client in waiting]
    error_log.expect(SystemExit, "died")
    assert len(answers) == len(waiting)
    if threads == 1:
        assert set(answers) == {b"2 on embedded-server"}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_replacement_does_not_wait_for_the_dead_loops_executor(
    serve: Serve, connect: Connect, error_log: ErrorLog, threads: int
) -> None:
    at_work, release = threading.Event(), threading.Event()

    def work() -> None:
        at_work.set()
        release.wait(3 * DEADLINE)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/work":
            await asyncio.to_thread(work)
        elif scope["path"] == "/die":
            dying.append(threading.current_thread())
            tasks.append(start_killer())
            await asyncio.Event().wait()
        await respond(send, b"alive")

    tasks: list[asyncio.Task[None]] = []
    dying: list[threading.Thread] = []
    server = serve(app, threads=threads, lifespan="off", distribute="round-robin")
    connect(server).send(GET % b"/work")
    assert at_work.wait(DEADLINE)
    for _ in range(threads - 1):
        assert connect(server).get().body == b"alive"
    kill_loop(connect(server), error_log)
    for _ in range(threads):
        assert connect(server).get().body == b"alive"
    assert dying[0].is_alive()
    release.set()
    if threads > 1:
        dying[0].join(DEADLINE)
        assert not dying[0].is_alive()


def is_up(app: Mortal, instances: int) -> bool:
    return len(app.up) == instances


@pytest.mark.parametrize("distribute", DISTRIBUTIONS)
@pytest.mark.parametrize("threads", [1, 2])
def test_five_deaths_within_a_minute_stop_the_server(
    serve: Serve, error_log: ErrorLog, threads: int, distribute: str
) -> None:
    app, before = Mortal(), set(threading.enumerate())
    server = serve(app, factory=True, threads=threads, distribute=distribute)
    host, port = server.host, server.port
    for death in range(1, 5):
        kill_loop(RawClient(host, port), error_log)
        wait_until(partial(is_up, app, threads + death), "the successor to be up")
    kill_loop(RawClient(host, port), error_log)
    server.thread.join(DEADLINE)
    assert isinstance(server.failure, TooManyThreadDeaths)
    server.failure = None
    assert len(app.down) == threads - 1
    wait_until(lambda: set(threading.enumerate()) <= before, "the server's threads to end")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port))


def test_too_many_deaths_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mortal.py").write_text(
        "import asyncio\n"
        "async def die():\n"
        "    raise SystemExit\n"
        "async def app(scope, receive, send):\n"
        "    app.task = asyncio.create_task(die())\n"
        "    app.task.add_done_callback(asyncio.Task.exception)\n"
        "    await asyncio.Event().wait()\n"
    )
    options = ["--threads", "2", "--lifespan", "off", "--app-instance", "shared"]
    with ServerProcess(
        "mortal:app", *options, cwd=tmp_path, python_options=["-X", "dev", "-W", "error::ResourceWarning"]
    ) as server:
        for _ in range(5):
            client = RawClient(server.host, server.port)
            client.send(GET % b"/")
            with pytest.raises((ConnectionResetError, AssertionError)):
                assert client.read_all() != b""
            client.close()
        assert server.wait() == 4
        lines = server.stderr.splitlines()
    assert lines[-1] == "Error: 5 loop threads died within 60 seconds"
    assert sum("died." in line for line in lines) == 5
    assert "ResourceWarning" not in server.stderr


# Answers with the number of instances that are still there. They are counted by what only they refer to.
COUNTING = """
import asyncio, gc, weakref
class Instance: pass
instances = weakref.WeakSet()
async def die():
    raise SystemExit
def create_app():
    instance = Instance()
    instances.add(instance)
    async def app(scope, receive, send):
        if scope["path"] == "/die":
            instance.task = asyncio.create_task(die())
            instance.task.add_done_callback(asyncio.Task.exception)
            await asyncio.Event().wait()
        gc.collect()
        length = (b"content-length", b"1")
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": b"%d" % len(instances)})
    return app
"""


def has_seen_deaths(server: ServerProcess, count: int) -> bool:
    return server.stderr.count("Loop thread") == count


@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_dead_loop_served_with_is_freed(tmp_path: Path, connect: Connect, loop: str) -> None:
    (tmp_path / "counting.py").write_text(COUNTING)
    options = ["--factory", "--threads", "2", "--lifespan", "off", "--loop", loop]
    with ServerProcess("counting:create_app", *options, cwd=tmp_path) as server:
        for death in range(1, 5):
            victim = connect(server)
            victim.send(GET % b"/die")
            with suppress(ConnectionResetError):
                assert victim.read_all() == b""
            wait_until(partial(has_seen_deaths, server, death), "the death to be logged")
        # The two that serve, and those of the start: what there is then is never looked at by the garbage collector.
        wait_until(lambda: int(connect(server).get().body) <= 4, "the others to be freed")
