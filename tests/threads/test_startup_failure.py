"""A start-up that fails on one of the threads, and the lifespan and state of each."""

import threading
from collections.abc import Callable

import pytest
from support.apps import respond
from support.embedded_server import EmbeddedServer, Serve
from support.error_log import ErrorLog
from support.raw_client import Connect
from support.waiting import DEADLINE, wait_until

from threadserve.errors import StartupFailed
from threadserve.types import ASGIApp, Receive, Scope, Send

THREADS = 4


class Lifespans:
    """A factory of instances that note their start-up and shutdown; instance `failing` fails when the others are up."""

    def __init__(self, failing: int = 0, *, raises: bool = False) -> None:
        self.failing = failing
        self.raises = raises
        self.made = 0
        self.up: list[int] = []
        self.down: list[int] = []
        self.threads: dict[int, str] = {}

    def __call__(self) -> ASGIApp:
        self.made += 1
        number = self.made

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await self.live(number, scope, receive, send)
            else:
                await respond(send, b"%d of %d" % (scope["state"]["instance"], number))

        return app

    async def live(self, number: int, scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        self.threads[number] = threading.current_thread().name
        if number == self.failing:
            wait_until(lambda: len(self.up) == THREADS - 1, "the other threads to be up")
            if self.raises:
                raise ValueError("no database")
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        scope["state"]["instance"] = number
        self.up.append(number)
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        self.down.append(number)
        await send({"type": "lifespan.shutdown.complete"})


@pytest.mark.parametrize("raises", [False, True], ids=["reported", "raised"])
@pytest.mark.parametrize("distribute", ["least-busy", "kernel"])
def test_the_others_shut_down_in_order(serve: Serve, error_log: ErrorLog, distribute: str, raises: bool) -> None:
    app, before = Lifespans(failing=3, raises=raises), set(threading.enumerate())
    with pytest.raises(StartupFailed, match="no database") as failure:
        serve(app, factory=True, threads=THREADS, distribute=distribute, lifespan="on")
    assert failure.value.exit_code == 3
    assert sorted(app.up) == sorted(app.down) == [1, 2, 4]
    error_log.expect(text="no database")
    error_log.expect(text="Application startup failed. Exiting.")
    wait_until(lambda: set(threading.enumerate()) <= before, "the server's threads to end")


def test_a_first_thread_that_fails_is_the_only_one_to_try(serve: Serve, error_log: ErrorLog) -> None:
    def factory() -> ASGIApp:
        made.append(1)
        raise ValueError("no settings")

    made: list[int] = []
    with pytest.raises(Exception, match="no settings"):
        serve(factory, factory=True, threads=THREADS)
    assert len(made) == 1


@pytest.mark.usefixtures("no_stalls")
def test_each_thread_has_an_instance_and_a_state_of_its_own(serve: Serve, connect: Connect) -> None:
    app = Lifespans()
    server = serve(app, factory=True, threads=THREADS)
    answers = {connect(server).get().body for _ in range(THREADS)}
    assert answers == {b"%d of %d" % (number, number) for number in range(1, THREADS + 1)}
    assert len(set(app.threads.values())) == THREADS
    server.stop()
    assert sorted(app.up) == sorted(app.down) == [1, 2, 3, 4]


@pytest.mark.parametrize("stop", ["while loading", "while starting up"])
def test_stopping_a_server_that_is_starting(serve: Serve, stop: str) -> None:
    app, at_work, go_on = Lifespans(), threading.Event(), threading.Event()

    def hold() -> None:
        at_work.set()
        assert go_on.wait(DEADLINE)

    server = EmbeddedServer(holding(app, hold, stop), factory=True, threads=THREADS)
    server.thread.start()
    assert at_work.wait(DEADLINE)
    server.server.should_exit = True
    go_on.set()
    server.thread.join(DEADLINE)
    assert not server.thread.is_alive()
    assert server.failure is None
    assert sorted(app.up) == sorted(app.down)


def holding(app: Lifespans, hold: Callable[[], None], stop: str) -> Callable[[], ASGIApp]:
    """The factory, or the start-up, of `app` with `hold` called first."""

    def factory() -> ASGIApp:
        if stop == "while loading":
            hold()
        made = app()

        async def held(scope: Scope, receive: Receive, send: Send) -> None:
            if stop == "while starting up":
                hold()
            await made(scope, receive, send)

        return held

    return factory
