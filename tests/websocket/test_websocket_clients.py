"""The `websockets` library as the client, over plain and encrypted connections; Starlette and FastAPI behind them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import WebSocketException
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect
from support.apps import Outcome
from support.certificates import Authority, needs_openssl
from support.embedded_server import EmbeddedServer, Serve
from support.waiting import DEADLINE
from support.websocket_client import echo
from websockets.asyncio.client import ClientConnection as AsyncConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from threadserve.types import Receive, Scope, Send

CONTENTS: list[str | bytes] = ["", "hello", "grüße " * 1000, b"", b"\x00\xff" * 100, b"x" * 1_000_000]


def url(server: EmbeddedServer, path: str = "/") -> str:
    """The URL of a WebSocket."""
    return f"ws://{server.host}:{server.port}{path}"


def tls_url(server: EmbeddedServer) -> str:
    """The URL of an encrypted WebSocket."""
    return f"wss://localhost:{server.port}"


def open_client(server: EmbeddedServer, path: str = "/", **options: Any) -> ClientConnection:
    """A client with deadlines."""
    client: ClientConnection = connect(
        url(server, path), max_size=None, open_timeout=DEADLINE, close_timeout=DEADLINE, **options
    )
    return client


@pytest.fixture(params=["none", "deflate"])
def compression(request: pytest.FixtureRequest) -> str | None:
    """Whether the client offers to compress."""
    return None if request.param == "none" else str(request.param)


@asynccontextmanager
async def async_client(address: str, **options: Any) -> AsyncIterator[AsyncConnection]:
    """A client on an event loop, with a deadline for all that is said.

    Over TLS only this one will do: the other reads in a thread of its own, and OpenSSL is not made for two threads on
    one connection. One that reads a session ticket meanwhile (TLS 1.3) may lose what the other sends.
    """
    async with (
        asyncio.timeout(3 * DEADLINE),
        connect_async(address, max_size=None, open_timeout=DEADLINE, close_timeout=DEADLINE, **options) as client,
    ):
        yield client


async def talk(address: str, **options: Any) -> AsyncConnection:
    """Sends messages of all kinds, whole and in fragments, and reads them back."""
    async with async_client(address, **options) as client:
        for content in CONTENTS:
            await client.send(content)
            assert await client.recv() == content
        await client.send(["one ", "two ", "thrée"])
        assert await client.recv() == "one two thrée"
        await (await client.ping())
    return client


@pytest.mark.parametrize("ws", ["auto", "wsproto", "websockets", "websockets-sansio"])
def test_a_conversation(serve: Serve, loop: str, compression: str | None, ws: str) -> None:
    client = asyncio.run(talk(url(serve(echo, loop=loop, ws=ws)), compression=compression))
    assert (client.close_code, client.close_reason) == (1000, "")


@needs_openssl
def test_a_conversation_over_tls(serve: Serve, loop: str, compression: str | None, tmp_path: Path) -> None:
    seen = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.set((scope["scheme"], "tls" in scope["extensions"]))
        await echo(scope, receive, send)

    authority = Authority(tmp_path)
    server = serve(app, loop=loop, **authority.sign("server").settings)
    client = asyncio.run(talk(tls_url(server), ssl=authority.client_context(), compression=compression))
    assert client.close_code == 1000
    assert seen.get() == ("wss", True)


@needs_openssl
def test_faults_and_the_shutdown_over_tls(serve: Serve, loop: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = serve(echo, loop=loop, ws_max_size=10, **authority.sign("server").settings)
    address, context = tls_url(server), authority.client_context()

    async def go_wrong() -> None:
        async with async_client(address, ssl=context) as client:
            await client.send("much longer than it may be")
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1009
        async with async_client(address, ssl=context) as client:
            server.server.should_exit = True
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1012

    asyncio.run(go_wrong())


def test_many_clients_at_once(serve: Serve) -> None:
    server = serve(echo, threads=2, app_instance="shared")

    async def one(number: int) -> None:
        async with connect_async(url(server), open_timeout=3 * DEADLINE) as client:
            for turn in range(20):
                await client.send(f"{number} {turn}")
                assert await client.recv() == f"{number} {turn}"

    async def everybody() -> None:
        async with asyncio.timeout(2 * DEADLINE), asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(one(number))

    asyncio.run(everybody())


@pytest.fixture
def fastapi_server(serve: Serve) -> EmbeddedServer:
    """FastAPI endpoints of several kinds."""
    fastapi = pytest.importorskip("fastapi")

    async def echo_json(websocket: WebSocket, name: str) -> None:
        await websocket.accept(subprotocol="json", headers=[(b"x-name", name.encode())])
        async for data in websocket.iter_json():
            await websocket.send_json({name: data})

    async def closed(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4000, "not today")

    async def refused(websocket: WebSocket) -> None:
        raise WebSocketException(code=1008)

    async def denied(websocket: WebSocket) -> None:
        await websocket.send_denial_response(Response("pay first", status_code=402))

    app = fastapi.FastAPI()
    for path, endpoint in {
        "/echo/{name}": echo_json,
        "/closed": closed,
        "/refused": refused,
        "/denied": denied,
    }.items():
        app.add_api_websocket_route(path, endpoint)
    return serve(app)


def test_fastapi_echoes(fastapi_server: EmbeddedServer) -> None:
    with open_client(fastapi_server, "/echo/ada", subprotocols=["other", "json"]) as client:
        assert client.subprotocol == "json"
        assert client.response is not None
        assert client.response.headers["x-name"] == "ada"
        client.send('{"a": 1}')
        assert client.recv(DEADLINE) == '{"ada":{"a":1}}'


def test_fastapi_closes(fastapi_server: EmbeddedServer) -> None:
    with open_client(fastapi_server, "/closed") as client, pytest.raises(ConnectionClosed):
        client.recv(DEADLINE)
    assert (client.close_code, client.close_reason) == (4000, "not today")


@pytest.mark.parametrize(
    ("path", "status", "body"), [("/refused", 403, b""), ("/unknown", 403, b""), ("/denied", 402, b"pay first")]
)
def test_fastapi_turns_down(fastapi_server: EmbeddedServer, path: str, status: int, body: bytes) -> None:
    with pytest.raises(InvalidStatus) as raised, open_client(fastapi_server, path):
        pass
    assert raised.value.response.status_code == status
    assert (raised.value.response.body or b"") == body


def test_starlette_test_of_disconnects(serve: Serve) -> None:
    seen = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        try:
            await websocket.receive_text()
        except WebSocketDisconnect as error:
            seen.set((error.code, error.reason))

    with open_client(serve(app)) as client:
        client.close(3001, "bye")
    assert seen.get() == (3001, "bye")
