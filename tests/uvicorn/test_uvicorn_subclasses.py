"""Programs that have subclasses of Uvicorn's `Config` and `Server`, with the import changed.

What they expect is how Uvicorn behaves: each of these tests passes with its name in place of ours.
"""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest
from support.uvicorn_programs import App, Sockets, ask, config_of, get, in_task, in_thread, until, url_of
from support.waiting import DEADLINE, wait_until

from threadserve import Config, Server

pytestmark = pytest.mark.usefixtures("error_log")


@pytest.fixture
def app() -> App:
    """An application."""
    return App()


def test_subclass_without_signal_handlers_in_a_thread(app: App) -> None:
    class ThreadServer(Server):
        def install_signal_handlers(self) -> None:
            pass

        @contextmanager
        def run_in_thread(self) -> Iterator[None]:
            with in_thread(self):
                yield

    server = ThreadServer(config=config_of(app))
    assert not server.started
    with server.run_in_thread():
        assert get(url_of(server)) == "app"
    assert app.has_started_and_ended


def test_configuration_with_attributes_of_the_programs_own(app: App) -> None:
    class OwnConfig(Config):
        storage_secret: str | None = None

    class OwnServer(Server):
        instance: "OwnServer"

        @classmethod
        def create(cls, config: OwnConfig) -> None:
            cls.instance = cls(config=config)

        def run(self, sockets: Sockets | None = None) -> None:
            assert isinstance(self.config, OwnConfig)
            secrets.append(self.config.storage_secret)
            super().run(sockets=sockets)

    secrets: list[str | None] = []
    config = OwnConfig(app, host="127.0.0.1", port=0, log_config=None)
    config.storage_secret = "known to the program"
    OwnServer.create(config)
    with in_thread(OwnServer.instance):
        assert get(url_of(OwnServer.instance)) == "app"
    assert secrets == ["known to the program"]


def test_start_up_that_tells_when_it_is_done(app: App) -> None:
    class ReadyServer(Server):
        def __init__(self, config: Config) -> None:
            super().__init__(config)
            self.ready = threading.Event()
            self.port = 0

        async def startup(self, sockets: Sockets | None = None) -> None:
            await super().startup(sockets=sockets)
            self.port = self.servers[0].sockets[0].getsockname()[1]
            self.ready.set()

        async def shutdown(self, sockets: Sockets | None = None) -> None:
            self.ready.clear()
            await super().shutdown(sockets=sockets)

    server = ReadyServer(config_of(app))
    with in_thread(server):
        assert server.ready.wait(DEADLINE)
        assert get(f"http://127.0.0.1:{server.port}/") == "app"
    assert not server.ready.is_set()
    assert app.has_started_and_ended


def test_tick_that_stops_the_server(app: App) -> None:
    class StoppableServer(Server):
        stop_is_requested = False
        ticks = 0

        async def on_tick(self, counter: int) -> bool:
            self.ticks += 1
            if self.stop_is_requested:
                self.should_exit = True
            return await super().on_tick(counter)

    async def main() -> None:
        server = StoppableServer(config_of(app))
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.started and server.ticks)
        server.stop_is_requested = True
        async with asyncio.timeout(DEADLINE):
            await serving

    asyncio.run(main())
    assert app.has_started_and_ended


def test_server_that_is_started_anew_by_another_task(app: App) -> None:
    class RestartServer(Server):
        async def serve(self, sockets: Sockets | None = None) -> None:
            self.restart = asyncio.Event()
            await asyncio.wait(
                {asyncio.create_task(super().serve(sockets)), asyncio.create_task(self.watch())},
            )

        async def watch(self) -> None:
            while not self.should_exit:
                if self.restart.is_set():
                    self.restart.clear()
                    await self.shutdown()
                    await self.startup()
                await asyncio.sleep(0.01)

    server = RestartServer(config_of(app, lifespan="off"))
    with in_thread(server):
        assert get(url_of(server)) == "app"
        server.started = False
        server.restart.set()
        wait_until(lambda: server.started, "the server to start anew")
        assert get(url_of(server)) == "app"


def test_signals_are_left_to_the_program(app: App) -> None:
    class QuietServer(Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    before = signal.getsignal(signal.SIGTERM)

    async def main() -> None:
        server = QuietServer(config_of(app))
        async with in_task(server):
            assert signal.getsignal(signal.SIGTERM) is before
            assert await ask(server) == "app"

    asyncio.run(main())
    assert app.has_started_and_ended


def test_handler_of_the_programs_own_sees_the_signal(app: App) -> None:
    seen: list[int] = []

    class OwnServer(Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            seen.append(sig)
            super().handle_exit(sig, frame)

    async def main() -> None:
        server = OwnServer(config_of(app))
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            await serving

    again: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: again.append(number))
    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == again == [signal.SIGTERM]
    assert app.has_started_and_ended
