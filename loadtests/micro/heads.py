"""What is done with the head of every request: the grammar that it has to pass, and the scope that is made of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loadtests.apps import hello
from loadtests.errors import LoadTestError
from loadtests.micro.benchmark import Benchmark, Repeat, repeated
from loadtests.micro.client import Client, loop_state
from loadtests.micro.http import BROWSER
from threadserve.config import Config
from threadserve.http.grammar import head_pattern
from threadserve.http.parsers import PARSERS
from threadserve.http.peer import peer_of
from threadserve.http.scope import build_scope
from threadserve.interfaces.loading import AppSource


@asynccontextmanager
async def matched() -> AsyncIterator[Repeat]:
    """The pattern of a loop's heads."""
    match = head_pattern(1).match
    found = match(BROWSER)
    if found is None or found.end() != len(BROWSER):
        raise LoadTestError("the grammar does not accept a browser's request")
    yield repeated(lambda: match(BROWSER))


@asynccontextmanager
async def scoped() -> AsyncIterator[Repeat]:
    """A parser that has read a head."""
    config = Config(hello.app)
    state = loop_state(AppSource(config), config)
    peer = peer_of(Client(state), None, state.trusted_proxies, None)
    parser = PARSERS["httptools"]()
    parser.head(BROWSER)
    scope = build_scope(state, parser, "1.1", peer)
    if (scope["path"], scope["query_string"], scope["client"]) != ("/static/style.css", b"version=3", peer.client):
        raise LoadTestError(f"the scope of a browser's request is {scope}")
    yield repeated(lambda: build_scope(state, parser, "1.1", peer))


BENCHMARKS = (
    Benchmark("grammar", "matching of a browser's head with the grammar", 250, matched),
    Benchmark("scope", "making of its scope", 400, scoped),
)
