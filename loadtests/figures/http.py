"""The figures of HTTP requests to ASGI applications."""

from loadtests.figures.figure import Figure, Goal, memory, requests_per_second
from loadtests.request import Request
from loadtests.servers.commands import granian, threadserve, uvicorn

ORDER = '{"customer": "Ada", "lines": [{"product": "lamp", "price": 20.5, "quantity": 2}]}'
HELLO = "loadtests.apps.hello:app"
FASTAPI = "examples.fastapi_model:app"
FASTAPI_REQUIRES = ("fastapi", "starlette", "pydantic", "pydantic_core")

# Of Granian's options these two came out best with two workers: `--loop asyncio`, `--http 1` and `--runtime-threads 2`
# were slower, and its other task implementation does not exist on these versions of Python.
GRANIANS = (granian(2), granian(2, "--runtime-mode", "st"))

HTTP_FIGURES = (
    Figure(
        name="hello",
        title="hello world, 1 thread on ordinary Python, no access log",
        measure="rate",
        app=HELLO,
        ours=threadserve("ordinary", 1),
        goals=requests_per_second(1.6),
        peers=(uvicorn(),),
    ),
    Figure(
        name="access-log",
        title="hello world, 1 thread on ordinary Python, access log to a file",
        measure="rate",
        app=HELLO,
        ours=threadserve("ordinary", 1, access_log=True),
        goals=requests_per_second(2.2),
        peers=(uvicorn(access_log=True),),
        access_log=True,
    ),
    Figure(
        name="hello-threads",
        title="hello world, 2 threads on free-threaded Python",
        measure="rate",
        app=HELLO,
        ours=threadserve("free-threaded", 2),
        goals=requests_per_second(1.3),
        peers=GRANIANS,
        others=(granian(1),),
    ),
    Figure(
        name="fastapi",
        title="FastAPI example with pydantic models, 2 threads on free-threaded Python",
        measure="rate",
        app=FASTAPI,
        ours=threadserve("free-threaded", 2),
        goals=requests_per_second(1.15),
        peers=GRANIANS,
        others=(granian(1),),
        request=Request("/orders", ORDER),
        app_requires=FASTAPI_REQUIRES,
    ),
    Figure(
        name="cpu",
        title="CPU-bound handler (about 0.2 ms of pure Python), 2 threads on free-threaded Python against 1",
        measure="rate",
        app="loadtests.apps.cpu_bound:app",
        ours=threadserve("free-threaded", 2),
        goals=requests_per_second(1.8),
        peers=(threadserve("free-threaded", 1),),
    ),
    Figure(
        name="connect-least-busy",
        title="a new connection per request, least-busy, 2 threads on free-threaded Python",
        measure="rate",
        app=HELLO,
        ours=threadserve("free-threaded", 2),
        goals=requests_per_second(0.85),
        peers=(uvicorn(), uvicorn(2)),
        request=Request(new_connection=True),
    ),
    Figure(
        name="connect-kernel",
        title="a new connection per request, kernel, 2 threads on free-threaded Python",
        measure="rate",
        app=HELLO,
        ours=threadserve("free-threaded", 2, distribute="kernel"),
        goals=requests_per_second(1.3),
        peers=(uvicorn(), uvicorn(2)),
        request=Request(new_connection=True),
    ),
    Figure(
        name="blocked-loop",
        title="quick requests on new connections while one after another holds its loop for 0.5 s",
        measure="latency",
        app="loadtests.apps.blocking:app",
        ours=threadserve("free-threaded", 2),
        goals=(Goal("p99 ms", "at most", 2.0), Goal("p50 ms")),
        peers=(uvicorn(2),),
    ),
    Figure(
        name="memory",
        title="memory of the FastAPI example, 8 threads against 8 workers",
        measure="memory",
        app=FASTAPI,
        ours=threadserve("free-threaded", 8),
        goals=memory(0.3),
        peers=(uvicorn(8),),
        request=Request("/orders", ORDER),
        app_requires=FASTAPI_REQUIRES,
    ),
)
