"""The start-ups of an app that all threads share: one before the others, and the warning where they overwrite."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.apps import Gate, respond
from support.embedded_server import EmbeddedServer, Serve, wait_for_loop_threads
from support.error_log import ErrorLog
from support.raw_client import Connect, request
from support.waiting import DEADLINE, wait_until

from threadserve.errors import StartupFailed
from threadserve.types import ASGIApp, Receive, Scope, Send

THREADS = 4
SETS = "The lifespans of several threads set %s of the one app that they share"


class App:
    """An app whose start-up calls `on_startup`, and which kills its loop at /die."""

    def __init__(self, on_startup: Callable[["App"], Any]) -> None:
        self.on_startup = on_startup
        self.threads: list[str] = []
        self.up: list[str] = []
        self.down: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
        elif scope["path"] == "/die":
            self.killer = asyncio.create_task(die())
            self.killer.add_done_callback(asyncio.Task.exception)
        else:
            await respond(send, threading.current_thread().name.encode())

    async def live(self, receive: Receive, send: Send) -> None:
        await receive()
        self.threads.append(threading.current_thread().name)
        waiting = self.on_startup(self)
        if waiting is not None:
            await waiting
        self.up.append(threading.current_thread().name)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.down.append(threading.current_thread().name)
        await send({"type": "lifespan.shutdown.complete"})


async def die() -> None:
    """Kills the loop."""
    raise SystemExit("killed by a test")


def set_client(app: Any) -> None:
    """What a lifespan is not to do."""
    app.client = object()
    app.version = "1." + str(len("1"))


class Wrapped:
    """Middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.client: object = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self.client = object()
        await self.app(scope, receive, send)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings so far that say what lifespans set."""
    caplog.set_level(logging.WARNING, "threadserve.error")
    return lambda: [text for text in caplog.messages if "lifespans" in text]


@contextmanager
def starting(app: Any, gate: Gate, arrivals: int, **settings: Any) -> Iterator[EmbeddedServer]:
    """A server of which so many start-ups have come to the gate. It is stopped in the end."""
    server = EmbeddedServer(app, **settings)
    server.thread.start()
    gate.wait_for_arrivals(arrivals)
    yield server
    server.server.should_exit = True
    server.thread.join(DEADLINE)
    assert not server.thread.is_alive()
    assert server.failure is None


def test_the_first_is_up_before_another_begins(serve: Serve) -> None:
    def on_startup(app: App) -> Any:
        begun.append(len(app.up))
        return wait_for_the_others() if not app.up else None

    async def wait_for_the_others() -> None:
        # They could begin then.
        wait_for_loop_threads(THREADS)
        await asyncio.sleep(0.1)

    begun: list[int] = []
    app = App(on_startup)
    serve(app, threads=THREADS)
    assert begun[0] == 0
    assert begun.count(0) == 1
    assert app.threads[0] == "threadserve-1"
    assert len(set(app.threads)) == len(app.up) == THREADS


def test_the_others_start_up_at_once() -> None:
    gate = Gate()
    app = App(lambda app: gate.wait() if app.up else None)
    with starting(app, gate, THREADS - 1, threads=THREADS) as server:
        gate.open()
        wait_until(lambda: server.server.started, "the server to start")
    assert len(app.up) == len(app.down) == THREADS


def test_instances_of_their_own_start_up_at_once() -> None:
    gate = Gate()
    with starting(lambda: App(lambda app: gate.wait()), gate, THREADS, factory=True, threads=THREADS) as server:
        gate.open()
        wait_until(lambda: server.server.started, "the server to start")


def test_a_first_start_up_that_fails_is_the_only_one(serve: Serve, error_log: ErrorLog) -> None:
    def on_startup(app: App) -> None:
        wait_for_loop_threads(THREADS)
        raise ValueError("no database")

    app = App(on_startup)
    with pytest.raises(StartupFailed, match="no database"):
        serve(app, threads=THREADS, lifespan="on")
    error_log.expect(ValueError)
    error_log.expect(text="Application startup failed. Exiting.")
    assert app.threads == ["threadserve-1"]


def test_a_stop_while_the_others_wait() -> None:
    gate = Gate()
    app = App(lambda app: gate.wait())
    with starting(app, gate, 1, threads=THREADS) as server:
        wait_for_loop_threads(THREADS)
        server.server.should_exit = True
        wait_until(lambda: not running("threadserve-2"), "the threads that wait to end")
        gate.open()
    assert app.threads == app.up == app.down == ["threadserve-1"]


def test_a_stop_while_the_first_start_up_does_not_end(error_log: ErrorLog) -> None:
    gate = Gate()
    app = App(lambda app: gate.wait())
    with starting(app, gate, 1, threads=THREADS, timeout_graceful_shutdown=0.1):
        wait_for_loop_threads(THREADS)
    assert not running("threadserve-")
    assert app.threads == ["threadserve-1"]
    error_log.expect(text="Cut off the application's start-up.")


def running(name: str) -> bool:
    """Whether there is a thread of that name."""
    return any(thread.name.startswith(name) for thread in threading.enumerate())


def test_what_lifespans_overwrite_is_told_once(serve: Serve, warnings: Callable[[], list[str]]) -> None:
    serve(App(set_client), threads=THREADS, app_instance="shared")
    [text] = warnings()
    assert text.startswith(SETS % "app.client" + ": all threads use what was set last, which may belong to the event")
    assert "\n" not in text
    assert 'yield {"client": ...}' in text
    assert "request.state.client" in text
    assert text.endswith("or leave out --app-instance shared.")


def test_an_object_is_shared_as_well(serve: Serve, warnings: Callable[[], list[str]]) -> None:
    serve(App(set_client), threads=2)
    [text] = warnings()
    assert text.startswith(SETS % "app.client")
    assert "--app-instance" not in text
    assert text.endswith('or let each thread have an app of its own (see "App instances" in the README).')


def test_so_is_what_a_factory_returns_each_time(serve: Serve, warnings: Callable[[], list[str]]) -> None:
    app = App(set_client)
    serve(lambda: app, factory=True, threads=THREADS)
    assert [text.partition(":")[0] for text in warnings()] == [SETS % "app.client"]


def test_what_wraps_an_app_for_each_thread_is_not_shared(serve: Serve, warnings: Callable[[], list[str]]) -> None:
    app = App(set_client)
    serve(lambda: Wrapped(app), factory=True, threads=THREADS)
    assert [text.partition(":")[0] for text in warnings()] == [SETS % "app.client"]


def test_what_wraps_a_shared_app_is(serve: Serve, warnings: Callable[[], list[str]]) -> None:
    serve(Wrapped(App(set_client)), threads=THREADS)
    assert [text.partition(":")[0] for text in warnings()] == [SETS % "Wrapped.client, app.client"]


@pytest.mark.parametrize("threads", [1, THREADS])
def test_instances_of_their_own_overwrite_nothing(
    serve: Serve, warnings: Callable[[], list[str]], threads: int
) -> None:
    serve(lambda: App(set_client), factory=True, threads=threads)
    assert warnings() == []


def kill_loop(thread: str, server: EmbeddedServer, connect: Connect, errors: ErrorLog) -> None:
    """Has the loop of a thread killed, and waits until that is known."""
    client = connect(server)
    while client.get().body != thread.encode():
        client.close()
        client = connect(server)
    client.send(request("GET", "/die"))
    errors.expect(SystemExit, "died")


def test_a_loop_that_takes_the_place_of_another(
    serve: Serve, connect: Connect, error_log: ErrorLog, warnings: Callable[[], list[str]]
) -> None:
    """Its lifespan sets anew what the first has set, and all use."""
    app = App(lambda app: set_client(app) if len(app.threads) != 2 else None)
    server = serve(app, threads=2, distribute="round-robin")
    for thread, expected in (("threadserve-1", 0), ("threadserve-2", 1), ("threadserve-1", 1)):
        before = len(app.up)
        kill_loop(thread, server, connect, error_log)
        wait_until(lambda before=before: len(app.up) > before, "the successor's start-up")  # type: ignore[misc]
        wait_until(lambda thread=thread: answers(thread, server, connect), "the successor to serve")  # type: ignore[misc]
        assert len(warnings()) == expected
    error_log.claim_all()


def answers(thread: str, server: EmbeddedServer, connect: Connect) -> bool:
    """Whether a thread answers."""
    client = connect(server)
    found = client.get().body == thread.encode()
    client.close()
    return found


def test_the_only_loop_sets_anew_what_belonged_to_the_dead_one(
    serve: Serve, connect: Connect, error_log: ErrorLog, warnings: Callable[[], list[str]]
) -> None:
    server = serve(App(set_client), threads=1)
    kill_loop("embedded-server", server, connect, error_log)
    wait_until(lambda: answers("embedded-server", server, connect), "the successor to serve")
    assert warnings() == []
    error_log.claim_all()
