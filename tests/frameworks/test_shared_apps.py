"""One app of a framework on four threads: what follows ASGI is safe there, and nothing is said of it."""

import asyncio
import json
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from support.embedded_server import EmbeddedServer, Serve, wait_for_loop_threads
from support.raw_client import Connect, clients
from support.server_process import ServerProcess
from support.sites import need
from support.websocket_client import WebSocketClient, text, websocket_clients

from threadserve.types import ASGIApp, Receive, Scope, Send

THREADS = 4
ROUNDS = 20

pytestmark = pytest.mark.usefixtures("no_stalls")


class Client:
    """Something that belongs to the loop on which it is made."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.lock = asyncio.Lock()
        self.uses = 0

    async def use(self) -> str:
        """Fails on another loop; returns the thread of its own."""
        async with self.lock:
            before = self.uses
            await asyncio.sleep(0)
            assert self.uses == before
            self.uses += 1
        assert asyncio.get_running_loop() is self.loop
        return threading.current_thread().name


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
    """As the documentation of Starlette and FastAPI has it."""
    client = Client()
    yield {"client": client, "owner": threading.current_thread().name}
    assert client.uses > 0


async def use_state(connection: HTTPConnection) -> list[Any]:
    """What a request or a WebSocket finds in its state; what it puts there is its own."""
    had = hasattr(connection.state, "mine")
    connection.state.mine = connection.state.owner = await connection.state.client.use()
    return [threading.current_thread().name, connection.scope["state"]["owner"], had, connection.app.state.version]


async def answer(request: Request) -> JSONResponse:
    return JSONResponse(await use_state(request))


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    async for _ in socket.iter_text():
        await socket.send_text(json.dumps(await use_state(WebSocket(socket.scope, socket.receive, socket.send))))


def application(framework: Any) -> ASGIApp:
    """An app with a state that is set when it is imported, and with middleware within and around it."""
    app = framework(routes=[Route("/", answer), WebSocketRoute("/ws", talk)], lifespan=lifespan)
    app.state.version = "1"
    app.add_middleware(CORSMiddleware)
    return CORSMiddleware(app)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged as a warning so far, but for what is said of the build."""
    caplog.set_level(logging.WARNING, "threadserve.error")

    def seen() -> list[str]:
        texts = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        return [text for text in texts if "has the GIL" not in text]

    return seen


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
def test_requests_and_websockets_see_the_state_of_their_loop(
    serve: Serve, connect: Connect, warnings: Callable[[], list[str]], framework: Any
) -> None:
    server = serve(application(framework), threads=THREADS, distribute="round-robin")

    def ask(number: int) -> list[list[Any]]:
        client = connect(server)
        return [json.loads(client.get().body) for _ in range(ROUNDS)]

    def converse(client: WebSocketClient) -> list[list[Any]]:
        client.open("/ws")
        answers = []
        for _ in range(ROUNDS):
            client.send(text("?"))
            answers.append(json.loads(client.read_text()))
        return answers

    with ThreadPoolExecutor(2 * THREADS) as pool, websocket_clients() as connect_websocket:
        assert_all_threads(pool.map(ask, range(2 * THREADS)), keeps_its_own=False)
        opened = [connect_websocket(server) for _ in range(2 * THREADS)]
        assert_all_threads(pool.map(converse, opened), keeps_its_own=True)
    server.stop()
    assert warnings() == []


def assert_all_threads(answers: Any, *, keeps_its_own: bool) -> None:
    """Each client was answered by one thread with its own state, and all threads have answered."""
    threads = []
    for got in answers:
        thread = got[0][0]
        assert got == [[thread, thread, keeps_its_own and number > 0, "1"] for number in range(ROUNDS)]
        threads.append(thread)
    assert sorted(threads) == sorted([f"threadserve-{number}" for number in range(1, THREADS + 1)] * 2)


def test_middleware_is_made_once(serve: Serve) -> None:
    """Starlette makes it when it is first called, which the lifespans of four threads would do at once."""

    class Middleware:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app
            self.lifespans = 0
            made.append(self)
            wait_for_loop_threads(THREADS)
            # They could call the app now.
            threading.Event().wait(0.1)

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            self.lifespans += scope["type"] == "lifespan"
            await self.app(scope, receive, send)

    made: list[Middleware] = []
    app = Starlette()
    app.add_middleware(Middleware)
    serve(app, threads=THREADS)
    assert [one.lifespans for one in made] == [THREADS]


def quart() -> Any:
    from quart import Quart

    app = Quart(__name__)

    @app.before_serving
    async def start() -> None:
        app.config["DEBUG"] = False
        app.add_background_task(asyncio.sleep, 0)
        await asyncio.sleep(0.01)

    @app.get("/")
    async def index() -> str:
        return threading.current_thread().name

    return app


def falcon() -> Any:
    from falcon.asgi import App

    class Index:
        async def process_startup(self, scope: Any, event: Any) -> None:
            await asyncio.sleep(0)

        async def on_get(self, request: Any, response: Any) -> None:
            response.text = threading.current_thread().name

    app = App(middleware=[Index()])
    app.add_route("/", Index())
    return app


def blacksheep() -> Any:
    from blacksheep import Application
    from blacksheep.server.routing import Router

    app = Application(router=Router())

    @app.router.get("/")
    async def index() -> str:
        return threading.current_thread().name

    @app.on_start
    async def start(app: Application) -> None:
        await asyncio.sleep(0.01)

    return app


@pytest.mark.parametrize("framework", [quart, falcon, blacksheep])
def test_what_a_framework_notes_on_its_app_is_no_fault(
    serve: Serve, connect: Connect, warnings: Callable[[], list[str]], framework: Any
) -> None:
    pytest.importorskip(framework.__name__)
    server: EmbeddedServer = serve(framework(), threads=THREADS, distribute="round-robin")
    answers = {connect(server).get().body.decode() for _ in range(THREADS)}
    assert answers == {f"threadserve-{number}" for number in range(1, THREADS + 1)}
    server.stop()
    assert warnings() == []


LITESTAR = """
from litestar import Litestar, get

async def start(app: Litestar) -> None:
    app.state.version = "1"
    app.state.client = object() if SETS else None

@get("/", sync_to_thread=False)
def index() -> str:
    return "hello"

app = Litestar([index], on_startup=[start])
"""


@pytest.mark.parametrize("sets", [False, True])
def test_litestar(tmp_path: Path, sets: bool) -> None:
    """In a process of its own: what it notes for its listeners of events cannot be closed on more than one loop."""
    need("litestar")
    (tmp_path / "main.py").write_text(f"SETS = {sets}\n{LITESTAR}")
    options = ("--threads", str(THREADS), "--app-instance", "shared")
    with ServerProcess("main:app", *options, cwd=tmp_path) as server, clients() as connect:
        assert connect(server).get().body == b"hello"
        told = re.findall(r"The lifespans of several threads set (.+) of the one app", server.stderr)
        assert told == ["app.state.client"] * sets
