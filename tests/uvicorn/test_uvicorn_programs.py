"""Programs as people write them for Uvicorn's `Config` and `Server`, with the import changed.

What they expect is how Uvicorn behaves: each of these tests passes with its name in place of ours.
"""

import asyncio
import importlib
import signal
import socket
from typing import Any

import httpx
import pytest
from support.uvicorn_programs import App, ask, config_of, get, in_task, in_thread, until, url_of
from support.waiting import DEADLINE, wait_until

from threadserve import Server

pytestmark = pytest.mark.usefixtures("error_log")


@pytest.fixture
def app() -> App:
    """An application."""
    return App()


def test_steps_of_a_server_in_a_running_loop(app: App) -> None:
    async def main() -> None:
        config = config_of(app)
        server: Any = Server(config)
        assert not config.loaded
        config.load()
        assert config.loaded
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        assert server.started
        serving = asyncio.create_task(server.main_loop())
        assert await ask(server) == "app"
        assert app.loops == {asyncio.get_running_loop()}
        server.should_exit = True
        await serving
        await server.shutdown()

    asyncio.run(main())
    assert app.has_started_and_ended


def test_steps_with_the_signals_and_a_socket_of_the_program(app: App) -> None:
    async def main() -> None:
        config = config_of(app)
        listener = config.bind_socket()
        address = listener.getsockname()
        server: Any = Server(config)
        if not config.loaded:
            config.load()
        server.lifespan = config.lifespan_class(config)
        with server.capture_signals():
            await server.startup(sockets=[listener])
            assert url_of(server) == "http://{}:{}/".format(*address)
            serving = asyncio.create_task(server.main_loop())
            assert await ask(server) == "app"
            server.should_exit = True
            await serving
            if server.started:
                await server.shutdown(sockets=[listener])

    asyncio.run(main())
    assert app.has_started_and_ended


def test_server_next_to_other_tasks(app: App) -> None:
    async def main() -> list[int]:
        ticks: list[int] = []

        async def tick() -> None:
            while True:
                ticks.append(len(ticks))
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        server = Server(config_of(app))
        async with in_task(server):
            before = len(ticks)
            assert await ask(server) == "app"
            await until(lambda: len(ticks) > before)
        assert server.started
        ticking.cancel()
        return ticks

    assert asyncio.run(main())
    assert len(app.loops) == 1
    assert app.has_started_and_ended


def test_several_servers_in_one_loop() -> None:
    apps = [App("first"), App("second"), App("third")]

    async def main() -> None:
        servers = [Server(config_of(app)) for app in apps]
        async with in_task(*servers):
            assert await asyncio.gather(*map(ask, servers)) == ["first", "second", "third"]
            servers[0].should_exit = True
            await until(lambda: apps[0].has_started_and_ended)
            assert await ask(servers[1]) == "second"

    asyncio.run(main())
    assert all(app.has_started_and_ended for app in apps)
    assert len(set.union(*(app.loops for app in apps))) == 1


def test_server_runs_again_in_a_new_loop() -> None:
    for _ in range(2):
        app = App()

        async def main(app: App) -> str:
            server = Server(config_of(app))
            async with in_task(server):
                return await ask(server)

        assert asyncio.run(main(app)) == "app"
        assert app.has_started_and_ended


def bound(*, listening: bool = False) -> socket.socket:
    """A socket of the program's own."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    if listening:
        listener.listen(10)
    return listener


@pytest.mark.parametrize("listening", [False, True], ids=["bound", "listening"])
def test_sockets_of_the_program(app: App, listening: bool) -> None:
    sockets = [bound(listening=listening), bound(listening=listening)]
    urls = ["http://{}:{}/".format(*listener.getsockname()) for listener in sockets]
    server = Server(config_of(app))
    with in_thread(server, sockets):
        assert [get(url) for url in urls] == ["app", "app"]
        addresses = [each.sockets[0].getsockname() for each in server.servers]
        assert addresses == [listener.getsockname() for listener in sockets]
    assert [listener.fileno() for listener in sockets] == [-1, -1]


def test_sockets_of_the_program_in_a_running_loop(app: App) -> None:
    async def main() -> str:
        with bound() as listener:
            url = "http://{}:{}/".format(*listener.getsockname())
            server = Server(config_of(app))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            await until(lambda: server.started)
            async with httpx.AsyncClient(verify=False, timeout=DEADLINE) as client:
                answer = (await client.get(url)).text
            server.should_exit = True
            await serving
            return answer

    assert asyncio.run(main()) == "app"


def test_socket_that_the_configuration_binds(app: App) -> None:
    config = config_of(app)
    listener = config.bind_socket()
    host, port = listener.getsockname()
    assert host == "127.0.0.1"
    assert port != 0
    assert listener.get_inheritable()
    server = Server(config)
    with in_thread(server, [listener]):
        assert get(f"http://{host}:{port}/") == "app"


def test_settings_that_programs_read(app: App) -> None:
    config = config_of(app, host="localhost", port=8123)
    assert config.app is app
    assert (config.host, config.port) == ("localhost", 8123)
    assert (config.is_ssl, config.should_reload, config.uds, config.fd) == (False, False, None, None)
    assert Server(config).config is config


def test_cancelled_task_and_shutdown_after_it(app: App) -> None:
    async def main() -> None:
        server = Server(config_of(app))
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        assert await ask(server) == "app"
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        await server.shutdown()

    asyncio.run(main())
    assert app.has_started_and_ended


def test_callback_is_awaited_on_the_loop_of_the_application(app: App) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def notify() -> None:
        loops.append(asyncio.get_running_loop())

    with in_thread(Server(config_of(app, threads=1, callback_notify=notify, timeout_notify=0))):
        wait_until(lambda: len(loops) > 1, "two calls")
    assert set(loops) == app.loops


def test_signal_handler_belongs_to_the_server_for_libraries_to_find(app: App) -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def main() -> None:
        server = Server(config_of(app))
        async with in_task(server):
            handler: Any = signal.getsignal(signal.SIGTERM)
            assert handler.__self__ is server
            assert handler.__self__.should_exit is False

    asyncio.run(main())
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("", "Config Server run __version__"),
        (".config", "Config LOGGING_CONFIG LOG_LEVELS"),
        (".server", "Server"),
        (".logging", "DefaultFormatter AccessFormatter ColourizedFormatter"),
        (".middleware.proxy_headers", "ProxyHeadersMiddleware"),
    ],
)
def test_names_that_programs_import(module: str, names: str) -> None:
    package = Server.__module__.partition(".")[0]
    assert set(names.split()) <= set(vars(importlib.import_module(package + module)))
