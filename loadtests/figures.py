"""The figures to reach: what is measured, of which server, against which peers, and the ratio wanted."""

from dataclasses import dataclass
from typing import Literal

from loadtests.servers import Server, granian, threadserve, uvicorn

Measure = Literal["rate", "latency", "memory"]

# What each kind of measurement yields: the values that count, then those that are only shown.
JUDGED: dict[Measure, tuple[str, ...]] = {
    "rate": ("requests/s",),
    "latency": ("p99 ms",),
    "memory": ("PSS MB", "USS MB", "RSS MB"),
}
SHOWN: dict[Measure, tuple[str, ...]] = {"rate": (), "latency": ("p50 ms",), "memory": ()}

ORDER = '{"customer": "Ada", "lines": [{"product": "lamp", "price": 20.5, "quantity": 2}]}'


@dataclass(frozen=True)
class Request:
    """What is asked again and again; with a body it is a POST of JSON."""

    path: str = "/"
    body: str = ""
    new_connection: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """The headers beside those that every HTTP client sends."""
        headers = {"Content-Type": "application/json"} if self.body else {}
        return headers | ({"Connection": "close"} if self.new_connection else {})


@dataclass(frozen=True)
class Figure:
    """One line of the table. `target` is the ratio of medians, ours to each peer's: for a rate at least, else at most.

    The target has to be reached against every one of `peers`; `others` are measured in the same rounds for comparison.
    """

    name: str
    title: str
    measure: Measure
    app: str
    ours: Server
    peers: tuple[Server, ...]
    target: float
    others: tuple[Server, ...] = ()
    request: Request = Request()
    access_log: bool = False
    app_requires: tuple[str, ...] = ()

    @property
    def servers(self) -> tuple[Server, ...]:
        """In the order of a round."""
        return (self.ours, *self.peers, *self.others)


HELLO = "loadtests.apps.hello:app"
FASTAPI = "examples.fastapi_model:app"
FASTAPI_REQUIRES = ("fastapi", "starlette", "pydantic", "pydantic_core")

# Of Granian's options these two came out best with two workers: `--loop asyncio`, `--http 1` and `--runtime-threads 2`
# were slower, and its other task implementation does not exist on these versions of Python.
GRANIANS = (granian(2), granian(2, "--runtime-mode", "st"))

FIGURES = (
    Figure(
        name="hello",
        title="hello world, 1 thread on ordinary Python, no access log",
        measure="rate",
        app=HELLO,
        ours=threadserve("ordinary", 1),
        peers=(uvicorn(),),
        target=1.6,
    ),
    Figure(
        name="access-log",
        title="hello world, 1 thread on ordinary Python, access log to a file",
        measure="rate",
        app=HELLO,
        ours=threadserve("ordinary", 1, access_log=True),
        peers=(uvicorn(access_log=True),),
        target=2.2,
        access_log=True,
    ),
    Figure(
        name="hello-threads",
        title="hello world, 2 threads on free-threaded Python",
        measure="rate",
        app=HELLO,
        ours=threadserve("free-threaded", 2),
        peers=GRANIANS,
        others=(granian(1),),
        target=1.3,
    ),
    Figure(
        name="fastapi",
        title="FastAPI example with pydantic models, 2 threads on free-threaded Python",
        measure="rate",
        app=FASTAPI,
        ours=threadserve("free-threaded", 2),
        peers=GRANIANS,
        others=(granian(1),),
        target=1.15,
        request=Request("/orders", ORDER),
        app_requires=FASTAPI_REQUIRES,
    ),
    Figure(
        name="cpu",
        title="CPU-bound handler (about 0.2 ms of pure Python), 2 threads on free-threaded Python against 1",
        measure="rate",
        app="loadtests.apps.cpu_bound:app",
        ours=threadserve("free-threaded", 2),
        peers=(threadserve("free-threaded", 1),),
        target=1.8,
    ),
    Figure(
        name="connect-least-busy",
        title="a new connection per request, least-busy, 2 threads on free-threaded Python",
        measure="rate",
        app=HELLO,
        ours=threadserve("free-threaded", 2),
        peers=(uvicorn(), uvicorn(2)),
        target=0.85,
        request=Request(new_connection=True),
    ),
    Figure(
        name="connect-kernel",
        title="a new connection per request, kernel, 2 threads on free-threaded Python",
        measure="rate",
        app=HELLO,
        ours=threadserve("free-threaded", 2, distribute="kernel"),
        peers=(uvicorn(), uvicorn(2)),
        target=1.3,
        request=Request(new_connection=True),
    ),
    Figure(
        name="blocked-loop",
        title="quick requests on new connections while one after another holds its loop for 0.5 s",
        measure="latency",
        app="loadtests.apps.blocking:app",
        ours=threadserve("free-threaded", 2),
        peers=(uvicorn(2),),
        target=2.0,
    ),
    Figure(
        name="memory",
        title="memory of the FastAPI example, 8 threads against 8 workers",
        measure="memory",
        app=FASTAPI,
        ours=threadserve("free-threaded", 8),
        peers=(uvicorn(8),),
        target=0.3,
        request=Request("/orders", ORDER),
        app_requires=FASTAPI_REQUIRES,
    ),
)
