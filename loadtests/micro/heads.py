"""What is done with the head of every request: the scan with its grammar, the rules, and the making of its scope."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loadtests.apps import hello
from loadtests.errors import LoadTestError
from loadtests.micro.benchmark import Benchmark, Repeat, repeated
from loadtests.micro.client import Client, loop_of
from loadtests.micro.http import BROWSER
from threadserve.app.loading import AppLoader
from threadserve.config import Config
from threadserve.http.bounds import Bounds
from threadserve.http.head import RequestHead
from threadserve.http.peer import make_peer
from threadserve.http1.codecs import H1Codecs
from threadserve.http1.header_lines import HeaderLines
from threadserve.http1.scan import HeadScanner


@asynccontextmanager
async def scanned() -> AsyncIterator[Repeat]:
    """The scanner of a loop's heads."""
    scanner = HeadScanner(1)
    found = scanner.scan(BROWSER, 0)
    if found is None or found[0] != len(BROWSER):
        raise LoadTestError("the grammar does not accept a browser's request")
    yield repeated(lambda: scanner.scan(BROWSER, 0))


@asynccontextmanager
async def read() -> AsyncIterator[Repeat]:
    """A reader whose connection has sent such a head before."""
    reader = http1().make_reader()

    def read_head() -> RequestHead | None:
        reader.feed(BROWSER)
        return reader.read_head()

    head = read_head()
    if head is None or (head.method, head.target, len(head.headers)) != ("GET", b"/static/style.css?version=3", 14):
        raise LoadTestError("a browser's request was read as another")
    yield repeated(read_head)


@asynccontextmanager
async def scoped() -> AsyncIterator[Repeat]:
    """A head that has been read."""
    serving = loop_of(AppLoader(config := Config(hello.app)), config)
    peer = make_peer(Client(serving), None, serving.context.trusted_proxies, None)
    reader = http1().make_reader()
    reader.feed(BROWSER)
    head = reader.read_head()
    if head is None:
        raise LoadTestError("a browser's request was not read")
    scope = serving.context.scopes.build(head, peer)
    if (scope["path"], scope["query_string"], scope["client"]) != ("/static/style.css", b"version=3", peer.client):
        raise LoadTestError(f"the scope of a browser's request is {scope}")
    yield repeated(lambda: serving.context.scopes.build(head, peer))


def http1() -> H1Codecs:
    config = Config(hello.app)
    return H1Codecs(config, 1, Bounds(), HeaderLines(config))


BENCHMARKS = (
    Benchmark("scan", "scanning of a browser's head", 250, scanned),
    Benchmark("head", "reading of the same head", 250, read),
    Benchmark("scope", "making of its scope", 400, scoped),
)
