"""All micro-benchmarks, by name. What each measures is in `loadtests/README.md`.

A benchmark sets everything up on the running loop, checks once that the operation gives what it should, and gives its
repeat. It raises LoadTestError where something else comes out.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from io import StringIO
from queue import SimpleQueue
from typing import Any, NamedTuple

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate

from loadtests.apps import asgi, hello, wsgi
from loadtests.apps.cpu_bound import work
from loadtests.apps.hello import Receive, Scope, Send
from loadtests.errors import require
from loadtests.micro.client import Client, LastEntries, Repeat, serving
from threadserve.config import Config
from threadserve.http.bounds import Bounds
from threadserve.http.head import RequestHead
from threadserve.http.peer import make_peer
from threadserve.http1.codecs import H1Codecs
from threadserve.http1.header_lines import HeaderLines
from threadserve.http1.scan import HeadScanner
from threadserve.logging import AccessFormatter, ConsoleHandler
from threadserve.logging.access_log import AccessEntry, AccessLog, access_logger, write_entries
from threadserve.logging.default_config import LOGGING_CONFIG
from threadserve.threads.mailbox import Mailbox

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
LAMPS = " ".join(f"{number} lamps" for number in range(100))
DOCUMENT = f'{{"type": "message", "room": "lamps", "from": "Ada", "text": "{LAMPS}"}}'
# From the third message on a text that repeats itself is compressed to the same bytes each time.
SETTLED = 3
# What the access log has to say of GET, and an entry with its line.
GET_ENTRY = ("127.0.0.1:40000", "GET", "/", "1.1", 200)
ENTRY: AccessEntry = ("127.0.0.1:40000", "GET", "/static/style.css?version=3", "1.1", 200)
LINE = 'INFO:     127.0.0.1:40000 - "GET /static/style.css?version=3 HTTP/1.1" 200 OK\n'
PIPELINED, IN_FLIGHT, BATCH, TURNS = 16, 8, 100, 1000


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
            require(writer.entries == [GET_ENTRY], f"the access log has {writer.entries}")

        async def all_of_them(operations: int) -> None:
            await asyncio.gather(*(client.converse(operations // connections) for client in clients))

        yield all_of_them if connections > 1 else clients[0].converse
        for client in clients:
            await client.leave()


@asynccontextmanager
async def echoed(
    text: str, *extensions: Extension, app: Callable[..., Awaitable[None]] = asgi.echo
) -> AsyncIterator[Repeat]:
    """A WebSocket that has sent this text back, in contexts that have seen it before where it is compressed."""
    peer = WSConnection(ConnectionType.CLIENT)
    async with serving(app) as loop:
        client = Client(loop)
        handshake = peer.send(Request("127.0.0.1:8000", "/", extensions))
        peer.receive_data(await client.ask(handshake, lambda answer: answer.endswith(b"\r\n\r\n")))
        (accepted,) = peer.events()
        require(isinstance(accepted, AcceptConnection), f"the server does not accept a WebSocket: {accepted}")
        for _ in range(SETTLED):
            peer.receive_data(await client.ask(peer.send(TextMessage(text)), bool))
            came = list(peer.events())
            require(came == [TextMessage(text)], f"the answer is {came}")
        yield client.converse
        await client.leave()


def repeated(operation: Callable[[], object]) -> Repeat:
    """Return the repeat of something that waits for nothing."""

    async def repeat(operations: int) -> None:
        for _ in range(operations):
            operation()

    return repeat


@asynccontextmanager
async def reference() -> AsyncIterator[Repeat]:
    yield repeated(partial(work, TURNS))


@asynccontextmanager
async def scanned() -> AsyncIterator[Repeat]:
    """The scanner of a loop's heads."""
    scanner = HeadScanner(1)
    found = scanner.scan(BROWSER, 0)
    require(found is not None and found[0] == len(BROWSER), "the grammar does not accept a browser's request")
    yield repeated(lambda: scanner.scan(BROWSER, 0))


def head_reader() -> Callable[[], RequestHead]:
    """Return what reads a browser's head, on one connection."""
    config = Config(hello.app)
    reader = H1Codecs(config, 1, Bounds(), HeaderLines(config)).make_reader()

    def read_head() -> RequestHead:
        reader.feed(BROWSER)
        head = reader.read_head()
        assert head is not None
        return head

    return read_head


@asynccontextmanager
async def read() -> AsyncIterator[Repeat]:
    """A reader whose connection has sent such a head before."""
    read_head = head_reader()
    head = read_head()
    require((head.method, len(head.headers)) == ("GET", 14), "a browser's request was read as another")
    yield repeated(read_head)


@asynccontextmanager
async def scoped() -> AsyncIterator[Repeat]:
    """A head that has been read."""
    head = head_reader()()
    async with serving(hello.app) as loop:
        peer = make_peer(Client(loop), None, loop.context.trusted_proxies, None)
        make = loop.context.scopes.build
        scope = make(head, peer)
        is_right = (scope["path"], scope["query_string"]) == ("/static/style.css", b"version=3")
        require(is_right, f"the scope of a browser's request is {scope}")
        yield repeated(lambda: make(head, peer))


@asynccontextmanager
async def written() -> AsyncIterator[Repeat]:
    """The access log's logger with a console in memory, as the thread that writes has it."""
    console = ConsoleHandler(shown := StringIO())
    console.setFormatter(AccessFormatter(LOGGING_CONFIG["formatters"]["access"]["fmt"], use_colors=False))
    access_logger.addHandler(console)
    access_logger.setLevel(logging.INFO)

    entries = [ENTRY] * BATCH

    def write_again() -> None:
        shown.seek(0)
        write_entries(entries)

    write_again()
    require(shown.getvalue() == LINE * BATCH, f"the access log has {shown.getvalue()[: 2 * len(LINE)]!r}")
    repeat = repeated(write_again)
    yield lambda operations: repeat(operations // BATCH)
    access_logger.removeHandler(console)


@asynccontextmanager
async def posted(batch: int) -> AsyncIterator[Repeat]:
    """A thread beside the running loop, which posts so many messages and waits until the last has arrived."""
    mailbox = Mailbox()
    mailbox.open()
    arrived: SimpleQueue[None] = SimpleQueue()
    delivered: list[None] = []

    def take_last() -> None:
        delivered.append(None)
        arrived.put(None)

    def post(operations: int) -> None:
        for _ in range(operations // batch):
            for _ in range(batch - 1):
                mailbox.post_threadsafe(delivered.append, None)
            mailbox.post_threadsafe(take_last)
            arrived.get()

    with ThreadPoolExecutor(1) as pool:

        async def repeat(operations: int) -> None:
            delivered.clear()
            await asyncio.get_running_loop().run_in_executor(pool, post, operations)
            require(len(delivered) == operations, f"of {operations} messages {len(delivered)} were delivered")

        await repeat(batch)
        yield repeat


class Benchmark(NamedTuple):
    """An operation that can be repeated, in multiples of `batch`.

    Voluntary switches are counted too where the operation `crosses_threads`.
    """

    prepare: Callable[[], AbstractAsyncContextManager[Repeat]]
    batch: int = 1
    crosses_threads: bool = False


BENCHMARKS = {
    "reference": Benchmark(reference),
    "get": Benchmark(partial(conversation, GET)),
    "get-httptools": Benchmark(partial(conversation, GET, http="httptools")),
    "get-h11": Benchmark(partial(conversation, GET, http="h11")),
    "get-logged": Benchmark(partial(conversation, GET, is_logged=True)),
    "get-browser": Benchmark(partial(conversation, BROWSER)),
    "post": Benchmark(partial(conversation, POST, read_and_greet)),
    "post-h11": Benchmark(partial(conversation, POST, read_and_greet, http="h11")),
    "pipelined": Benchmark(partial(conversation, GET * PIPELINED, responses=PIPELINED)),
    "wsgi": Benchmark(partial(conversation, GET, wsgi.hello, **WSGI), crosses_threads=True),
    "wsgi-in-flight": Benchmark(
        partial(conversation, GET, wsgi.hello, connections=IN_FLIGHT, **WSGI), IN_FLIGHT, crosses_threads=True
    ),
    "ws": Benchmark(partial(echoed, "x" * 100)),
    "ws-large": Benchmark(partial(echoed, "x" * 65_000)),
    "ws-deflate": Benchmark(lambda: echoed(DOCUMENT, PerMessageDeflate())),
    "scan": Benchmark(scanned),
    "head": Benchmark(read),
    "scope": Benchmark(scoped),
    "log-line": Benchmark(written, BATCH),
    "mailbox": Benchmark(partial(posted, 1), crosses_threads=True),
    "mailbox-batch": Benchmark(partial(posted, BATCH), BATCH, crosses_threads=True),
}
