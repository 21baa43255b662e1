"""The table of all micro-benchmarks, by name. What each measures is in `loadtests/README.md`."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

from wsproto.extensions import PerMessageDeflate

from loadtests.apps import wsgi
from loadtests.micro import parts
from loadtests.micro.client import Repeat
from loadtests.micro.conversations import BROWSER, DOCUMENT, GET, POST, WSGI, conversation, echoed, read_and_greet

REFERENCE = "reference"
PIPELINED, IN_FLIGHT = 16, 8


@dataclass(frozen=True)
class Benchmark:
    """An operation that can be repeated, in multiples of `batch`.

    `prepare` sets everything up on the running loop and checks once that the operation gives what it should: it raises
    LoadTestError where it does not. Voluntary switches are counted too where the operation `crosses_threads`.
    """

    prepare: Callable[[], AbstractAsyncContextManager[Repeat]]
    batch: int = 1
    crosses_threads: bool = False


BENCHMARKS = {
    REFERENCE: Benchmark(parts.reference),
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
    "ws": Benchmark(partial(echoed, "x" * 100, ())),
    "ws-large": Benchmark(partial(echoed, "x" * 65_000, ())),
    "ws-deflate": Benchmark(partial(echoed, DOCUMENT, (PerMessageDeflate,))),
    "scan": Benchmark(parts.scanned),
    "head": Benchmark(parts.read),
    "scope": Benchmark(parts.scoped),
    "log-line": Benchmark(parts.written, parts.BATCH),
    "mailbox": Benchmark(partial(parts.posted, 1), crosses_threads=True),
    "mailbox-batch": Benchmark(partial(parts.posted, parts.BATCH), parts.BATCH, crosses_threads=True),
}
