"""Applications of the first interface, `async def app(message, channels)`, as the README of early 2018 had them."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from support.apps import Outcome
from support.embedded_server import EmbeddedServer, Serve, servers
from support.error_log import ErrorLog
from support.raw_client import Connect, post_chunked, request
from support.waiting import DEADLINE, wait_until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket

from threadserve.errors import AppLoadError

PLAIN = [[b"content-type", b"text/plain"]]

Handler = Callable[[Any, Any], Awaitable[None]]


class App:
    """Hands each message to the handler for its path, and keeps it."""

    def __init__(self, **handlers: Handler) -> None:
        self.handlers = handlers
        self.messages: list[Any] = []

    async def __call__(self, message: Any, channels: Any) -> None:
        self.messages.append(message)
        await self.handlers[message["path"].strip("/")](message, channels)


async def hello(message: Any, channels: Any) -> None:
    await channels["reply"].send({"status": 200, "headers": PLAIN, "content": b"Hello"})


async def read_body(message: Any, channels: Any) -> bytes:
    body: bytes = message.get("body", b"")
    if "body" in channels:
        while True:
            chunk = await channels["body"].receive()
            body += chunk["content"]
            if not chunk.get("more_content", False):
                break
    return body


async def echo(message: Any, channels: Any) -> None:
    body = await read_body(message, channels)
    await channels["reply"].send({"status": 200, "headers": PLAIN, "content": body})


async def channel_names(message: Any, channels: Any) -> None:
    await channels["reply"].send({"status": 200, "content": " ".join(sorted(channels)).encode()})


async def stream(message: Any, channels: Any) -> None:
    await channels["reply"].send({"status": 201, "headers": PLAIN, "content": b"", "more_content": True})
    for chunk in [b"Hello", b", ", b"world"]:
        await channels["reply"].send({"content": chunk, "more_content": True})
    await channels["reply"].send({"content": b"", "more_content": False})


async def broken(message: Any, channels: Any) -> None:
    raise ValueError("the application's mistake")


async def nothing(message: Any, channels: Any) -> None:
    """Replies nothing."""


HANDLERS: dict[str, Handler] = {
    "": hello,
    "echo": echo,
    "names": channel_names,
    "stream": stream,
    "broken": broken,
    "nothing": nothing,
}


@pytest.fixture(params=["h11", "httptools"])
def serve_channels(error_log: ErrorLog, request: pytest.FixtureRequest) -> Iterator[Callable[..., EmbeddedServer]]:
    with servers(interface="channels", http=request.param, threads=1) as start:
        yield start


@pytest.fixture
def server(serve_channels: Callable[..., EmbeddedServer]) -> EmbeddedServer:
    return serve_channels(App(**HANDLERS))


def test_first_tutorial(server: EmbeddedServer) -> None:
    response = httpx.get(server.url, timeout=DEADLINE)
    assert (response.status_code, response.text) == (200, "Hello")
    assert response.headers["content-type"] == "text/plain"
    assert response.headers["content-length"] == "5"


def test_message(serve_channels: Callable[..., EmbeddedServer], connect: Connect) -> None:
    app = App(**{"a b": hello})
    server = serve_channels(app)
    client = connect(server)
    client.get("/a%20b?c=d", "X-Name: value")
    assert app.messages == [
        {
            "channel": "http.request",
            "server": (server.host, server.port),
            "client": client.socket.getsockname(),
            "scheme": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/a b",
            "query_string": b"c=d",
            "root_path": "",
            "headers": [[b"host", b"example.org"], [b"x-name", b"value"]],
        }
    ]


@pytest.mark.parametrize("body", [b"", b"text", b"x" * 300_000])
def test_body_channel(server: EmbeddedServer, body: bytes) -> None:
    assert httpx.post(f"{server.url}/echo", content=body, timeout=DEADLINE).content == body


def test_body_in_chunks(server: EmbeddedServer, connect: Connect) -> None:
    client = connect(server)
    client.send(post_chunked("/echo", b"one", b"two"))
    assert client.read_response("POST").body == b"onetwo"


@pytest.mark.parametrize(("body", "names"), [(b"", b"reply"), (b"text", b"body reply")])
def test_only_a_request_with_a_body_has_its_channel(server: EmbeddedServer, body: bytes, names: bytes) -> None:
    assert httpx.post(f"{server.url}/names", content=body, timeout=DEADLINE).content == names


def test_body_of_a_client_that_goes(serve_channels: Callable[..., EmbeddedServer], connect: Connect) -> None:
    outcome = Outcome()

    async def app(message: Any, channels: Any) -> None:
        try:
            await read_body(message, channels)
        except OSError as error:
            outcome.set(str(error))
            raise

    client = connect(serve_channels(app))
    client.send(request("POST", "/", "Content-Length: 9"))
    client.close()
    assert outcome.get() == "the client has disconnected"


def test_streamed_response(server: EmbeddedServer) -> None:
    response = httpx.get(f"{server.url}/stream", timeout=DEADLINE)
    assert (response.status_code, response.text) == (201, "Hello, world")
    assert response.headers["transfer-encoding"] == "chunked"


def test_application_that_fails(server: EmbeddedServer, error_log: ErrorLog) -> None:
    assert httpx.get(f"{server.url}/broken", timeout=DEADLINE).status_code == 500
    error_log.expect(ValueError, "the application's mistake")


def test_application_that_replies_nothing(server: EmbeddedServer, error_log: ErrorLog) -> None:
    assert httpx.get(f"{server.url}/nothing", timeout=DEADLINE).status_code == 500
    error_log.expect(text="without starting response")


def test_there_is_no_lifespan(serve: Serve, error_log: ErrorLog) -> None:
    with pytest.raises(Exception, match="startup failed"):
        serve(App(**HANDLERS), interface="channels", lifespan="on")
    error_log.claim_all()


def test_who_forgets_to_name_the_interface_is_told(serve: Serve, error_log: ErrorLog) -> None:
    with pytest.raises(AppLoadError, match=r"takes two arguments; .* add --interface channels"):
        serve(hello)
    error_log.claim_all()


# WebSockets


class Chat:
    """A chat as in the tutorial: what one client says is told to all."""

    def __init__(self) -> None:
        self.clients: set[Any] = set()
        self.messages: list[Any] = []
        self.left = threading.Event()

    async def __call__(self, message: Any, channels: Any) -> None:
        self.messages.append(message)
        if message["channel"] == "websocket.connect":
            await channels["reply"].send({"accept": True})
            self.clients.add(channels["reply"])
        elif message["channel"] == "websocket.receive":
            for client in list(self.clients):
                await client.send({"text": message["text"]} if message["text"] else {"bytes": message["bytes"]})
        elif message["channel"] == "websocket.disconnect":
            self.clients.remove(channels["reply"])
            self.left.set()


@pytest.fixture
def open_websocket() -> Iterator[Callable[[EmbeddedServer], ClientConnection]]:
    with ExitStack() as stack:

        def start(server: EmbeddedServer) -> ClientConnection:
            url = server.url.replace("http", "ws") + "/chat?room=1"
            # Without pings, whose thread may outlive the connection by a moment and be taken for the server's.
            new = connect_websocket(
                url, proxy=None, open_timeout=DEADLINE, close_timeout=DEADLINE, ping_interval=None, legacy=False
            )
            client: ClientConnection = stack.enter_context(new)
            return client

        yield start


OpenWebSocket = Callable[[EmbeddedServer], ClientConnection]


def test_chat(serve_channels: Callable[..., EmbeddedServer], open_websocket: OpenWebSocket) -> None:
    chat = Chat()
    server = serve_channels(chat)
    one, two = open_websocket(server), open_websocket(server)
    wait_until(lambda: len(chat.clients) == 2, "both to be taken in")
    for client in (one, two):
        client.send("said")
        assert [one.recv(DEADLINE), two.recv(DEADLINE)] == ["said", "said"]
    two.close()
    assert chat.left.wait(DEADLINE)
    assert len(chat.clients) == 1


def test_messages_of_a_websocket(serve_channels: Callable[..., EmbeddedServer], open_websocket: OpenWebSocket) -> None:
    chat = Chat()
    server = serve_channels(chat)
    client = open_websocket(server)
    for said in ("text", b"bytes"):
        client.send(said)
        assert client.recv(DEADLINE) == said
    client.close(code=1001)
    assert chat.left.wait(DEADLINE)
    begin, *others = chat.messages
    assert {"host", "upgrade"} <= {name.decode() for name, _ in begin.pop("headers")}
    assert begin.pop("client")[0] == "127.0.0.1"
    assert begin == {
        "channel": "websocket.connect",
        "order": 0,
        "server": (server.host, server.port),
        "scheme": "ws",
        "http_version": "1.1",
        "method": "GET",
        "path": "/chat",
        "query_string": b"room=1",
        "root_path": "",
    }
    assert others == [
        {"channel": "websocket.receive", "path": "/chat", "order": 1, "text": "text", "bytes": None},
        {"channel": "websocket.receive", "path": "/chat", "order": 2, "text": None, "bytes": b"bytes"},
        {"channel": "websocket.disconnect", "path": "/chat", "order": 3, "code": 1001},
    ]


@pytest.mark.parametrize("answer", [{"accept": False}, {"accept": False, "text": "not sent"}, {"close": True}])
def test_rejection(
    serve_channels: Callable[..., EmbeddedServer], open_websocket: OpenWebSocket, answer: dict[str, Any]
) -> None:
    async def app(message: Any, channels: Any) -> None:
        if message["channel"] == "websocket.connect":
            await channels["reply"].send(answer)

    with pytest.raises(InvalidStatus) as rejection:
        open_websocket(serve_channels(app))
    assert rejection.value.response.status_code == 403


@pytest.mark.parametrize(("close", "code"), [(True, 1000), (4001, 4001)])
def test_data_accepts_and_close_closes(
    serve_channels: Callable[..., EmbeddedServer], open_websocket: OpenWebSocket, close: bool | int, code: int
) -> None:
    async def app(message: Any, channels: Any) -> None:
        if message["channel"] == "websocket.connect":
            await channels["reply"].send({"text": "first", "close": close})

    client = open_websocket(serve_channels(app))
    assert client.recv(DEADLINE) == "first"
    with pytest.raises(ConnectionClosed):
        client.recv(DEADLINE)
    assert client.close_code == code


def test_calls_run_side_by_side(serve_channels: Callable[..., EmbeddedServer], open_websocket: OpenWebSocket) -> None:
    """As in the tutorial that sends the time from its first call for as long as the client is there."""
    asked: asyncio.Queue[str] = asyncio.Queue()
    ended = Outcome()

    async def app(message: Any, channels: Any) -> None:
        if message["channel"] == "websocket.connect":
            await channels["reply"].send({"accept": True})
            while (text := await asked.get()) != "end":
                await channels["reply"].send({"text": text})
            ended.set()
        else:
            asked.put_nowait(message.get("text", "end"))

    client = open_websocket(serve_channels(app))
    for text in ("one", "two"):
        client.send(text)
        assert client.recv(DEADLINE) == text
    client.close()
    ended.get()


@pytest.mark.parametrize("at", ["websocket.connect", "websocket.receive"])
def test_call_that_fails_ends_the_websocket(
    serve_channels: Callable[..., EmbeddedServer], open_websocket: OpenWebSocket, error_log: ErrorLog, at: str
) -> None:
    left = Outcome()

    async def app(message: Any, channels: Any) -> None:
        if message["channel"] == "websocket.disconnect":
            left.set(message["code"])
            return
        await channels["reply"].send({"accept": True})
        if message["channel"] == at:
            raise ValueError("the application's mistake")

    client = open_websocket(serve_channels(app))
    if at == "websocket.receive":
        client.send("text")
    with pytest.raises(ConnectionClosed):
        client.recv(DEADLINE)
    assert client.close_code == 1011
    error_log.expect(ValueError, "the application's mistake")
    assert left.get() == 1011
