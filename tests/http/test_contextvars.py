"""Which context variables a request sees: the program's and its module's, never those of the lifespan or of others."""

import contextvars
from collections.abc import Callable
from functools import partial

import pytest
from support.apps import read_body, respond
from support.embedded_server import EmbeddedServer, Serve
from support.raw_client import Connect, chunked, post, request

from threadserve.types import ASGIApp, Receive, Scope, Send

program: contextvars.ContextVar[str] = contextvars.ContextVar("program", default="-")
module: contextvars.ContextVar[str] = contextvars.ContextVar("module", default="-")
lifespan: contextvars.ContextVar[str] = contextvars.ContextVar("lifespan", default="-")
earlier: contextvars.ContextVar[str] = contextvars.ContextVar("earlier", default="-")

HEAD = request("POST", "/", "Transfer-Encoding: chunked")
# More than is read ahead, so that the application is the one to have reading resumed.
LARGE = b"x" * 200_000


def make_app() -> ASGIApp:
    """The factory is to the server what importing a module is: code of the application."""
    module.set("module")
    return app


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it sees, and leaves its own path behind."""
    if scope["type"] == "lifespan":
        await receive()
        lifespan.set("lifespan")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    seen = f"{program.get()} {module.get()} {lifespan.get()} {earlier.get()}"
    earlier.set(scope["path"])
    await read_body(receive)
    await respond(send, seen.encode())


@pytest.fixture
def server(serve: Serve, loop: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EmbeddedServer]:
    run = EmbeddedServer._run

    def program_that_runs(server: EmbeddedServer) -> None:
        program.set("program")
        run(server)

    monkeypatch.setattr(EmbeddedServer, "_run", program_that_runs)
    return partial(serve, make_app, factory=True, loop=loop, lifespan="on")


@pytest.mark.parametrize("threads", [1, 2])
def test_program_and_module_are_seen(server: Callable[..., EmbeddedServer], connect: Connect, threads: int) -> None:
    assert connect(server(threads=threads)).get("/1").body == b"program module - -"


def test_reset_hides_them(server: Callable[..., EmbeddedServer], connect: Connect) -> None:
    client = connect(server(reset_contextvars=True))
    assert [client.get(path).body for path in ("/1", "/2")] == [b"- - - -"] * 2


def test_nothing_is_left_to_the_next_request(server: Callable[..., EmbeddedServer], connect: Connect) -> None:
    client = connect(server())
    assert [client.get(path).body for path in ("/1", "/2")] == [b"program module - -"] * 2


def test_nothing_is_left_to_the_next_of_a_pipeline(server: Callable[..., EmbeddedServer], connect: Connect) -> None:
    client = connect(server())
    client.send(request("GET", "/1") + request("GET", "/2") + request("GET", "/3"))
    assert [client.read_response().body for _ in range(3)] == [b"program module - -"] * 3


def test_nothing_is_left_where_the_application_read_on(server: Callable[..., EmbeddedServer], connect: Connect) -> None:
    client = connect(server())
    for _ in range(2):
        client.send(post("/large", LARGE))
        assert client.read_response("POST").body == b"program module - -"
    client.send(HEAD + chunked(LARGE))
    assert client.read_response("POST").body == b"program module - -"
