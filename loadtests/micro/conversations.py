"""From the bytes of a request or of a message to those of its answer: parser, exchange, application."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage
from wsproto.extensions import Extension

from loadtests.apps import asgi, hello
from loadtests.apps.hello import Receive, Scope, Send
from loadtests.errors import require
from loadtests.micro.client import Client, LastEntries, Repeat, serving
from threadserve.logging.access_log import AccessLog

App = Callable[..., Awaitable[None]]

HOST = b"Host: 127.0.0.1:8000\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
ORDER = b'{"customer": "Ada", "lines": [{"product": "lamp", "price": 20.5, "quantity": 2}]}'
ORDER_FIELDS = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ORDER)
POST = b"POST / HTTP/1.1\r\n" + HOST + ORDER_FIELDS + ORDER
BROWSER = (
    b"GET /static/style.css?version=3 HTTP/1.1\r\n" + HOST + b"Connection: keep-alive\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"Accept: text/css,*/*;q=0.1\r\nAccept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Referer: http://127.0.0.1:8000/\r\nCookie: session=5d41402abc4b2a76b9719d911017c592; theme=dark\r\n"
    b"Sec-Fetch-Dest: style\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\n"
    b"Priority: u=2\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\r\n"
)
# The same on every machine and interpreter.
WSGI: dict[str, Any] = {"interface": "wsgi", "wsgi_threads": 4}
# What the access log has to say of GET.
ENTRY = ("127.0.0.1:40000", "GET", "/", "1.1", 200)
LAMPS = " ".join(f"{number} lamps" for number in range(100))
DOCUMENT = f'{{"type": "message", "room": "lamps", "from": "Ada", "text": "{LAMPS}"}}'
# From the third message on a text that repeats itself is compressed to the same bytes each time.
SETTLED = 3


async def read_and_greet(scope: Scope, receive: Receive, send: Send) -> None:
    """Say hello once the body is there, and nothing where it is not the order."""
    if (await receive())["body"] == ORDER:
        await hello.app(scope, receive, send)


@asynccontextmanager
async def conversation(
    request: bytes,
    app: Callable[..., Any] = hello.app,
    responses: int = 1,
    connections: int = 1,
    is_logged: bool = False,
    **settings: Any,
) -> AsyncIterator[Repeat]:
    """Connections that have answered once, each with one request in flight; every response is the hello world."""

    def is_right(answer: bytes) -> bool:
        before, *found = answer.split(b"HTTP/1.1 200 OK\r\n")
        is_whole = all(response.endswith(b"\r\n\r\n" + hello.BODY) for response in found)
        return not before and len(found) == responses and is_whole

    writer = LastEntries()
    log = AccessLog(asyncio.get_running_loop(), writer) if is_logged else None
    async with serving(app, log, **settings) as loop:
        clients = [Client(loop) for _ in range(connections)]
        for client in clients:
            await client.ask(request, is_right)
        if log is not None:
            log.flush()
            require(writer.entries == [ENTRY], f"the access log has {writer.entries}")

        async def all_of_them(operations: int) -> None:
            await asyncio.gather(*(client.converse(operations // connections) for client in clients))

        yield all_of_them if connections > 1 else clients[0].converse
        for client in clients:
            await client.leave()


@asynccontextmanager
async def echoed(text: str, extensions: tuple[type[Extension], ...], app: App = asgi.echo) -> AsyncIterator[Repeat]:
    """A WebSocket that has sent this text back, in contexts that have seen it before where it is compressed."""
    peer = WSConnection(ConnectionType.CLIENT)
    async with serving(app) as loop:
        client = Client(loop)
        handshake = peer.send(Request("127.0.0.1:8000", "/", [make() for make in extensions]))
        peer.receive_data(await client.ask(handshake, lambda answer: answer.endswith(b"\r\n\r\n")))
        (accepted,) = peer.events()
        require(isinstance(accepted, AcceptConnection), f"the server does not accept a WebSocket: {accepted}")
        for _ in range(SETTLED):
            peer.receive_data(await client.ask(peer.send(TextMessage(text)), bool))
            came = list(peer.events())
            require(came == [TextMessage(text)], f"the answer is {came}")
        yield client.converse
        await client.leave()
