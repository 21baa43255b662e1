"""The figures of the request path: what a request and its response cost, against the fastest servers there are.

On free-threaded Python ours has two threads, and counts against the best way of a peer, with one worker or two.
"""

from loadtests.figures.figure import INSTRUCTIONS, Figure, Goal, Peer, against, echoing
from loadtests.request import Request
from loadtests.servers.commands import fixed_bytes, granian, h2corn, threadserve, uvicorn

HELLO = "loadtests.apps.hello:app"
ECHO = "loadtests.apps.echo:app"
# Of WebSocket messages, in bytes.
SMALL = 100
LARGE = 65_000
FASTAPI = "examples.fastapi_model:app"
FASTAPI_REQUIRES = ("fastapi", "starlette", "pydantic", "pydantic_core")
ORDER = '{"customer": "Ada", "lines": [{"product": "lamp", "price": 20.5, "quantity": 2}]}'
# A string as JSON.
TEN_KILOBYTES = f'"{"x" * 9_998}"'
NEW_CONNECTION = Request(new_connection=True)
# Every client sends a Host beside these.
BROWSER = Request(
    fields=(
        ("Connection", "keep-alive"),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
        ("Accept-Language", "en-GB,en;q=0.8,de;q=0.5"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Referer", "http://127.0.0.1/products?page=2"),
        ("Cookie", "session=5d41402abc4b2a76b9719d911017c592; theme=dark"),
        ("Upgrade-Insecure-Requests", "1"),
        ("Sec-Fetch-Dest", "document"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-User", "?1"),
        ("Priority", "u=0, i"),
        ("Cache-Control", "max-age=0"),
    )
)

OURS = threadserve("free-threaded", 2)
OURS_FOR_WEBSOCKETS = threadserve("free-threaded", 2, ws="auto")
# One with `--loop-threads 2` is not among them: h2corn 1.5.1 answers nothing then.
H2CORNS = (h2corn("free-threaded", workers=1), h2corn("free-threaded", workers=2))
# Of Granian's options this one came out best with two workers: `--loop asyncio`, `--http 1` and `--runtime-threads 2`
# were slower, and its other task implementation does not exist on these versions of Python.
SINGLE = ("--runtime-mode", "st")
GRANIANS = (granian(1), granian(2), granian(2, *SINGLE))
UVICORNS = (uvicorn(), uvicorn(2))


REQUEST_PATH_FIGURES = (
    Figure(
        name="hello",
        title="hello world, 1 thread on ordinary Python, no access log",
        measure="rate",
        app=HELLO,
        ours=threadserve("ordinary", 1),
        peers=(against(uvicorn(), requests=2.5), against(granian(1, build="ordinary"), requests=2.0)),
    ),
    Figure(
        name="hello-threads",
        title="hello world, 2 threads on free-threaded Python",
        measure="rate",
        app=HELLO,
        ours=OURS,
        peers=(against(*H2CORNS, requests=1.3), against(*GRANIANS, requests=1.8)),
    ),
    Figure(
        name="hello-cpu",
        title="CPU time of a hello world, 1 thread on free-threaded Python",
        measure="rate",
        app=HELLO,
        ours=threadserve("free-threaded", 1),
        peers=(Peer((fixed_bytes(),), (Goal("CPU µs per request", "at most", 2.5), Goal("requests/s"))),),
    ),
    Figure(
        name="hello-browser",
        title="hello world to the 15 header fields of a browser, 2 threads on free-threaded Python",
        measure="rate",
        app=HELLO,
        ours=OURS,
        peers=(against(*H2CORNS, requests=1.3),),
        request=BROWSER,
    ),
    Figure(
        name="hello-tls",
        title="hello world over TLS, 2 threads on free-threaded Python",
        measure="rate",
        app=HELLO,
        ours=OURS,
        peers=(against(*H2CORNS, requests=0.9), against(*GRANIANS, requests=1.3)),
        request=Request(tls=True),
    ),
    Figure(
        name="fastapi",
        title="FastAPI example with pydantic models, 2 threads on free-threaded Python",
        measure="rate",
        app=FASTAPI,
        ours=OURS,
        peers=(against(*H2CORNS, requests=1.25), against(*GRANIANS, requests=1.4)),
        request=Request("/orders", ORDER),
        app_requires=FASTAPI_REQUIRES,
    ),
    Figure(
        name="parts",
        title="a body of 50 parts of 10 kB, 2 threads on free-threaded Python",
        measure="rate",
        app="loadtests.apps.bodies:parts",
        ours=OURS,
        peers=(against(*GRANIANS, requests=1.0), against(uvicorn(2), requests=1.3)),
    ),
    Figure(
        name="post",
        title="POST of 10 kB that is sent back, 1 thread on ordinary Python",
        measure="rate",
        app="loadtests.apps.bodies:send_back",
        ours=threadserve("ordinary", 1),
        peers=(against(uvicorn(), requests=1.5),),
        request=Request(body=TEN_KILOBYTES),
    ),
    Figure(
        name="post-threads",
        title="POST of 10 kB that is sent back, 2 threads on free-threaded Python",
        measure="rate",
        app="loadtests.apps.bodies:send_back",
        ours=OURS,
        peers=(against(*H2CORNS, requests=1.1),),
        request=Request(body=TEN_KILOBYTES),
    ),
    Figure(
        name="connect-least-busy",
        title="a new connection per request, least-busy, 2 threads on free-threaded Python",
        measure="rate",
        app=HELLO,
        ours=OURS,
        peers=(against(*UVICORNS, requests=1.2),),
        request=NEW_CONNECTION,
    ),
    Figure(
        name="connect-kernel",
        title="a new connection per request, kernel, 2 threads on free-threaded Python",
        measure="rate",
        app=HELLO,
        ours=threadserve("free-threaded", 2, distribute="kernel"),
        peers=(against(*UVICORNS, requests=1.8), against(*H2CORNS, requests=0.7)),
        request=NEW_CONNECTION,
    ),
    Figure(
        name="ws-threads",
        title="WebSocket echo of 100 bytes, 2 threads on free-threaded Python",
        measure="echo",
        app=ECHO,
        ours=OURS_FOR_WEBSOCKETS,
        peers=(
            echoing(*H2CORNS, messages=1.5),
            echoing(granian(1, ws=True), granian(2, ws=True), granian(2, *SINGLE, ws=True), messages=2.5),
        ),
        message_size=SMALL,
    ),
    Figure(
        name="ws-large-threads",
        title="WebSocket echo of 65 kB, 2 threads on free-threaded Python",
        measure="echo",
        app=ECHO,
        ours=OURS_FOR_WEBSOCKETS,
        peers=(echoing(uvicorn(2, ws="websockets-sansio"), messages=1.0),),
        message_size=LARGE,
    ),
    Figure(
        name="instructions",
        title="a request and its response without sockets, free-threaded Python",
        measure="instructions",
        app=HELLO,
        ours=threadserve("free-threaded", 1),
        peers=(Peer((threadserve("free-threaded", 1, interpreted=True),), (Goal(INSTRUCTIONS, "at most"),)),),
        alone=(Goal(INSTRUCTIONS),),
        benchmark="get",
    ),
)
