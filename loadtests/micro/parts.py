"""Parts of the way of a request by themselves: its head, a line of the access log, a message to a loop.

Beside them is pure Python that nobody changes: where that differs, the machine or the interpreter is another.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from io import StringIO
from queue import SimpleQueue

from loadtests.apps import hello
from loadtests.apps.cpu_bound import work
from loadtests.errors import require
from loadtests.micro.client import Client, Repeat, serving
from loadtests.micro.conversations import BROWSER
from threadserve.config import Config
from threadserve.http.bounds import Bounds
from threadserve.http.head import RequestHead
from threadserve.http.peer import make_peer
from threadserve.http1.codecs import H1Codecs
from threadserve.http1.header_lines import HeaderLines
from threadserve.http1.scan import HeadScanner
from threadserve.logging import AccessFormatter, ConsoleHandler
from threadserve.logging.access_log import AccessEntry, access_logger, write_entries
from threadserve.logging.default_config import LOGGING_CONFIG
from threadserve.threads.mailbox import Mailbox

BATCH = 100
TURNS = 1000
ENTRY: AccessEntry = ("127.0.0.1:40000", "GET", "/static/style.css?version=3", "1.1", 200)
LINE = 'INFO:     127.0.0.1:40000 - "GET /static/style.css?version=3 HTTP/1.1" 200 OK\n'


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

    try:
        write_again()
        require(shown.getvalue() == LINE * BATCH, f"the access log has {shown.getvalue()[: 2 * len(LINE)]!r}")
        repeat = repeated(write_again)
        yield lambda operations: repeat(operations // BATCH)
    finally:
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
