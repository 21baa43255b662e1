"""The figures of HTTP requests to ASGI applications that are about more than the request path."""

from loadtests.figures.figure import Figure, Goal, Peer, against, memory
from loadtests.figures.request_path import FASTAPI, FASTAPI_REQUIRES, HELLO, ORDER
from loadtests.request import Request
from loadtests.servers.commands import threadserve, uvicorn

HTTP_FIGURES = (
    Figure(
        name="access-log",
        title="hello world, 1 thread on ordinary Python, access log to a file",
        measure="rate",
        app=HELLO,
        ours=threadserve("ordinary", 1, access_log=True),
        peers=(against(uvicorn(access_log=True), requests=2.2),),
        access_log=True,
    ),
    Figure(
        name="cpu",
        title="CPU-bound handler (about 0.2 ms of pure Python), 2 threads on free-threaded Python against 1",
        measure="rate",
        app="loadtests.apps.cpu_bound:app",
        ours=threadserve("free-threaded", 2),
        peers=(against(threadserve("free-threaded", 1), requests=1.8),),
    ),
    Figure(
        name="blocked-loop",
        title="quick requests on new connections while one after another holds its loop for 0.5 s",
        measure="latency",
        app="loadtests.apps.blocking:app",
        ours=threadserve("free-threaded", 2),
        peers=(Peer((uvicorn(2),), (Goal("p99 ms", "at most", 2.0), Goal("p50 ms"))),),
    ),
    Figure(
        name="memory",
        title="memory of the FastAPI example, 8 threads against 8 workers",
        measure="memory",
        app=FASTAPI,
        ours=threadserve("free-threaded", 8),
        peers=(Peer((uvicorn(8),), memory(0.3)),),
        request=Request("/orders", ORDER),
        app_requires=FASTAPI_REQUIRES,
    ),
)
