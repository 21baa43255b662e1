"""From the bytes of a request to those of its response: parser, exchange, application."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from loadtests.apps import hello
from loadtests.errors import LoadTestError
from loadtests.micro.benchmark import Benchmark, Repeat
from loadtests.micro.client import Client, loop_of
from threadserve.app.loading import AppLoader
from threadserve.config import Config
from threadserve.logging.access_log import AccessLog, AccessLogWriter, Entry, Moment

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

HOST = b"Host: 127.0.0.1:8000\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
ORDER = b'{"customer": "Ada", "lines": [{"product": "lamp", "price": 20.5, "quantity": 2}]}'
POST = (
    b"POST / HTTP/1.1\r\n%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (HOST, len(ORDER))
) + ORDER
BROWSER = (
    b"GET /static/style.css?version=3 HTTP/1.1\r\n" + HOST + b"Connection: keep-alive\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"Accept: text/css,*/*;q=0.1\r\nAccept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Referer: http://127.0.0.1:8000/\r\nCookie: session=5d41402abc4b2a76b9719d911017c592; theme=dark\r\n"
    b"Sec-Fetch-Dest: style\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\n"
    b"Priority: u=2\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\r\n"
)
PIPELINED = 16
# What the access log has to say of GET.
ENTRY: Entry = ("127.0.0.1:40000", "GET", "/", "1.1", 200)


async def read_and_greet(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Says hello once the body is there, and something else where it is not the order."""
    message = await receive()
    if message["body"] == ORDER:
        await hello.app(scope, receive, send)


class NoWriter(AccessLogWriter):
    """Keeps what it was handed last: the thread that writes is not measured."""

    last: list[Entry]

    def write_threadsafe(self, entries: list[Entry], moments: Sequence[Moment] = ()) -> None:
        self.last = entries


@dataclass(frozen=True)
class Asked:
    """What is asked of which application, and how the server is configured.

    Every response has to be a 200 with the body of `loadtests.apps.hello`.
    """

    request: bytes
    app: Callable[..., Awaitable[None]] = hello.app
    responses: int = 1
    parser: Literal["auto", "httptools", "h11"] = "auto"
    is_logged: bool = False

    def is_answered_by(self, answer: bytes) -> bool:
        """Whether these are the right responses, and as many as there should be."""
        before, *responses = answer.split(b"HTTP/1.1 200 OK\r\n")
        return (
            not before
            and len(responses) == self.responses
            and all(response.endswith(b"\r\n\r\n" + hello.BODY) for response in responses)
        )


@asynccontextmanager
async def conversation(asked: Asked) -> AsyncIterator[Repeat]:
    """A connection that has answered once."""
    config = Config(asked.app, http=asked.parser)
    loader = AppLoader(config)
    writer = NoWriter()
    log = AccessLog(asyncio.get_running_loop(), writer) if asked.is_logged else None
    client = Client(loop_of(loader, config, log))
    await client.ask(asked.request, asked.is_answered_by)
    if log is not None:
        log.flush()
        if writer.last != [ENTRY]:
            raise LoadTestError(f"the access log has {writer.last}")
    yield client.converse
    await client.leave()


def http(name: str, title: str, operations: int, asked: Asked) -> Benchmark:
    return Benchmark(name, title, operations, partial(conversation, asked))


BENCHMARKS = (
    http("get", "GET hello world", 60, Asked(GET)),
    http("get-httptools", "GET hello world with httptools", 40, Asked(GET, parser="httptools")),
    http("get-h11", "GET hello world with h11", 12, Asked(GET, parser="h11")),
    http("get-logged", "GET hello world with the access log", 60, Asked(GET, is_logged=True)),
    http("get-browser", "GET hello world with the 14 header fields of a browser", 40, Asked(BROWSER)),
    http("post", "POST of a small JSON document", 25, Asked(POST, read_and_greet)),
    http("post-h11", "POST of a small JSON document with h11", 10, Asked(POST, read_and_greet, parser="h11")),
    http("pipelined", f"{PIPELINED} GETs that arrive at once", 5, Asked(GET * PIPELINED, responses=PIPELINED)),
)
