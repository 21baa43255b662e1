"""The table of all figures, in their groups.

On free-threaded Python ours has two threads, and counts against the best way of a peer, with one worker or two.
"""

from dataclasses import replace
from functools import partial

from loadtests.clients.asking import Group
from loadtests.figures.figure import Goal, figure, least, memory, most
from loadtests.harness import alone, loads
from loadtests.request import Request
from loadtests.results import CPU, RATE
from loadtests.servers.commands import Build, Server, granian, h2corn, peer, threadserve, uvicorn

ECHO = "loadtests.apps.asgi:echo"
SEND_BACK = "loadtests.apps.asgi:send_back"
BLOCKING, COMPUTING = "loadtests.apps.asgi:sleeping", "loadtests.apps.asgi:computing"
FASTAPI_REQUIRES = ("fastapi", "starlette", "pydantic", "pydantic_core")
P50, P99 = "p50 ms", "p99 ms"
MESSAGES = "messages/s"
ADMIN_HOST = "127.0.0.2"
UNHEALTHY = 503
LONG = ("--timeout-keep-alive", "60")
# What a keep-alive connection costs on a loop, as a WebSocket is on one.
IDLE = ("--ws-ping-interval", "2", "--timeout-keep-alive", "600", "--no-release-idle")

ORDER = Request("/orders", '{"customer": "Ada", "lines": [{"product": "lamp", "price": 20.5, "quantity": 2}]}')
# A string as JSON.
TEN_KILOBYTES = Request(body=f'"{"x" * 9_998}"')
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

# Messages of 100 bytes and of 65 kB.
SMALL, LARGE = loads.echoes(100), loads.echoes(65_000)
# One blocking request after the other, each on a connection of its own.
BLOCKED = Group("/block", kept=False, aside=True)
QUICK = loads.groups(Group(per_second=200, kept=False), BLOCKED)
STALLING = loads.groups(Group(connections=16, pause_seconds=0.05), BLOCKED, seconds=6)
PAUSING = loads.groups(Group(connections=2000, pause_seconds=1.5), seconds=6, warm_up=3)
BUSY = Group("/thread", per_second=200, tells_bodies=True)
# The busy ones are every eighth, so a server that deals connections out in turn gives all of them to one thread.
UNEVEN = loads.groups(*(BUSY, replace(BUSY, per_second=20, connections=7)) * 8, seconds=8)
# Once a second, as a monitoring system asks; and for enough times.
METRICS = Group("/metrics", per_second=1, kept=False, host=ADMIN_HOST)
METRICS_OFTEN = replace(METRICS, per_second=50)
LIVE = Group("/livez", per_second=25, kept=False, host=ADMIN_HOST, statuses=(200, UNHEALTHY))
READY = replace(LIVE, path="/readyz")
HEALTH = loads.groups(LIVE, READY, replace(BLOCKED, connections=64), until=replace(LIVE, statuses=(UNHEALTHY,)))

ours = partial(threadserve, "free-threaded")


def holding(threads: int, *options: str) -> Server:
    """Return ours where each connection stays with its thread."""
    return ours(threads, *options, "--no-release-idle", note="--no-release-idle")


def administered(threads: int, *options: str, build: Build = "free-threaded") -> Server:
    """Return threadserve with the admin address that is asked, at the server's port."""
    return threadserve(build, threads, "--admin-bind", f"{ADMIN_HOST}:{{port}}", *options)


def stalling(build: Build) -> Server:
    """Return the same with two threads, which count as late so soon that both do whenever their requests begin."""
    return administered(2, "--timeout-loop-stall", "0.1", build=build)


def answered_within(milliseconds: float, *peers: Server) -> list[Goal]:
    """Return the goals of latencies: the 99th percentile, beside the median and those of peers, which are shown."""
    compared = [most(None, value, *peers) for value in (P99, P50) if peers]
    return [most(milliseconds, P99), most(None, P50), *compared]


ORDINARY, ORDINARY_WS = threadserve("ordinary", 1), threadserve("ordinary", 1, ws="auto")
TWO_WS, TWO_HTTP2 = ours(2, ws="auto"), ours(2, "--http2", note="HTTP/2")
UNWATCHED = ours(2, "--timeout-loop-stall", "0", note="unwatched")
FIXED_BYTES = peer("fixed bytes", build="free-threaded")
UVICORNS = (uvicorn(), uvicorn(2))
WSPROTO, SANSIO = uvicorn(ws="wsproto"), uvicorn(ws="websockets-sansio")
# One with `--loop-threads 2` is not among them: h2corn 1.5.1 answers nothing then.
H2CORNS = (h2corn(1), h2corn(2))
# Of Granian's options this one came out best with two workers: `--loop asyncio`, `--http 1` and `--runtime-threads 2`
# were slower, and its other task implementation does not exist on these versions of Python.
SINGLE = ("--runtime-mode", "st")
GRANIANS = (granian(1), granian(2), granian(2, *SINGLE))
GRANIANS_WS = (granian(1, ws="auto"), granian(2, ws="auto"), granian(2, *SINGLE, ws="auto"))
GRANIANS_HTTP2 = (granian(1, "--http", "auto"), granian(2, "--http", "auto"))
HYPERCORN, HYPERCORNS = peer("hypercorn"), peer("hypercorn", 2)

WSGI = ours(None, interface="wsgi")
ONE_CALL = ours(None, "--wsgi-threads", "1", note="--wsgi-threads 1", interface="wsgi")
granian_wsgi = partial(peer, "granian wsgi", build="free-threaded")
GRANIANS_WSGI = (granian_wsgi(), granian_wsgi(2), granian_wsgi(2, *SINGLE))
FORKED = peer("gthread", 2, threads=8)

on_fastapi = partial(figure, app="examples.fastapi_model:app", request=ORDER, requires=FASTAPI_REQUIRES)
on_wsgi = partial(figure, app="loadtests.apps.wsgi:hello")

# What a request and its response cost, against the fastest servers there are.
REQUEST_PATH = (
    figure("hello", ORDINARY, least(2.5, uvicorn()), least(2.0, granian(1, build="ordinary"))),
    figure("hello-threads", ours(2), least(1.3, *H2CORNS), least(1.8, *GRANIANS)),
    figure("hello-cpu", ours(1), most(2.5, CPU, FIXED_BYTES), least(None, FIXED_BYTES)),
    figure("hello-browser", ours(2), least(1.3, *H2CORNS), request=BROWSER),
    figure("hello-tls", ours(2), least(0.9, *H2CORNS), least(1.3, *GRANIANS), request=Request(tls=True)),
    on_fastapi("fastapi", ours(2), least(1.25, *H2CORNS), least(1.4, *GRANIANS)),
    figure("parts", ours(2), least(1.0, *GRANIANS), least(1.3, uvicorn(2)), app="loadtests.apps.asgi:parts"),
    figure("post", ORDINARY, least(1.5, uvicorn()), app=SEND_BACK, request=TEN_KILOBYTES),
    figure("post-threads", ours(2), least(1.1, *H2CORNS), app=SEND_BACK, request=TEN_KILOBYTES),
    figure("connect-least-busy", ours(2), least(1.2, *UVICORNS), request=NEW_CONNECTION),
    figure(
        "connect-kernel",
        ours(2, "--distribute", "kernel", note="kernel"),
        least(1.8, *UVICORNS),
        least(0.7, *H2CORNS),
        request=NEW_CONNECTION,
    ),
    figure(
        "ws-threads",
        TWO_WS,
        least(1.5, *H2CORNS, value=MESSAGES),
        least(2.5, *GRANIANS_WS, value=MESSAGES),
        app=ECHO,
        load=SMALL,
    ),
    figure(
        "ws-large-threads", TWO_WS, least(1.0, uvicorn(2, ws="websockets-sansio"), value=MESSAGES), app=ECHO, load=LARGE
    ),
    figure(
        "instructions",
        ours(1),
        most(None, alone.INSTRUCTIONS),
        most(None, alone.INSTRUCTIONS, ours(1, interpreted=True)),
        alone=alone.instructions,
    ),
)
HTTP = (
    figure(
        "access-log",
        threadserve("ordinary", 1, "--access-log"),
        least(2.2, uvicorn(1, "--access-log")),
        access_log=True,
    ),
    figure("cpu", ours(2), least(1.8, ours(1)), app="loadtests.apps.cpu_bound:app"),
    figure("blocked-loop", ours(2), most(2.0, P99, uvicorn(2)), most(None, P50, uvicorn(2)), app=BLOCKING, load=QUICK),
    on_fastapi("memory", ours(8), *memory(0.3, uvicorn(8)), load=loads.rate_and_memory),
)
# Without TLS.
HTTP2 = (
    figure(
        "http2-hello",
        TWO_HTTP2,
        least(2.5, HYPERCORNS),
        *(least(None, *ways, value=value) for ways in ((ours(2),), H2CORNS, GRANIANS_HTTP2) for value in (RATE, CPU)),
        load=loads.over_http2(streams=10, connections=10),
    ),
    figure("http2-one-connection", TWO_HTTP2, least(2, HYPERCORN), load=loads.over_http2(streams=100, connections=1)),
    figure(
        "http2-large",
        TWO_HTTP2,
        least(2, HYPERCORN),
        app="loadtests.apps.asgi:large",
        load=loads.over_http2(streams=50, connections=1),
    ),
)
WSGI_FIGURES = (
    on_wsgi("wsgi-threads", WSGI, least(1.5, *GRANIANS_WSGI)),
    on_wsgi("wsgi-threads-cpu", WSGI, most(0.7, CPU, granian_wsgi())),
    on_wsgi("wsgi-gunicorn", WSGI, least(6, peer("gthread", build="free-threaded", threads=8))),
    on_wsgi("wsgi-waitress", WSGI, least(6, peer("waitress", build="free-threaded", threads=8))),
    on_wsgi("wsgi-hello", threadserve("ordinary", 1, interface="wsgi"), least(1.5, granian_wsgi(build="ordinary"))),
    figure(
        "wsgi-flask",
        WSGI,
        least(1.4, FORKED),
        *memory(0.7, FORKED),
        app="loadtests.apps.flask_json:app",
        load=loads.rate_and_memory,
        requires=("flask",),
    ),
    figure(
        "wsgi-cpu",
        WSGI,
        least(1.7, ONE_CALL),
        app="loadtests.apps.wsgi:cpu_bound",
    ),
    figure(
        "wsgi-streaming",
        WSGI,
        most(20, "MB grown by upload"),
        most(20, "MB grown by download"),
        app="loadtests.apps.wsgi:streaming",
        load=loads.streams(200_000_000),
    ),
)
echoing = partial(figure, app=ECHO)
WEBSOCKETS = (
    echoing("ws-echo", ORDINARY_WS, least(1.25, WSPROTO, value=MESSAGES), load=SMALL),
    echoing("ws-echo-sansio", ORDINARY_WS, least(1.0, SANSIO, value=MESSAGES), load=SMALL),
    echoing("ws-large", ORDINARY_WS, least(1.5, WSPROTO, value=MESSAGES), load=LARGE),
    echoing(
        "ws-large-websockets",
        threadserve("ordinary", 1, ws="websockets"),
        least(1.5, WSPROTO, value=MESSAGES),
        least(None, SANSIO, value=MESSAGES),
        load=LARGE,
    ),
    echoing(
        "ws-idle",
        threadserve("ordinary", 1, *IDLE, ws="auto"),
        most(12, loads.BEYOND),
        most(None, loads.WEBSOCKET),
        most(None, loads.KEPT),
        load=loads.idle(2000, websockets=True),
    ),
)
# Between two requests the acceptor has the kept connections: with that, and without.
CONNECTIONS = (
    figure(
        "kept-stall-2",
        ours(2),
        *answered_within(15, holding(2), uvicorn(2), h2corn(2), granian(2)),
        app=BLOCKING,
        load=STALLING,
    ),
    figure(
        "kept-stall-4", ours(4), *answered_within(15, holding(4), uvicorn(2), granian(2)), app=BLOCKING, load=STALLING
    ),
    figure("kept-busy", ours(2), least(0.98, holding(2))),
    figure("kept-paused", ours(2), least(0.9, holding(2)), most(None, CPU, holding(2)), load=PAUSING),
    figure(
        "kept-idle-memory",
        ours(2, *LONG),
        most(0.8, loads.KEPT),
        most(None, loads.KEPT, holding(2, *LONG)),
        load=loads.idle(20_000),
    ),
    figure(
        "kept-spread",
        ours(4),
        most(1.2, loads.SHARE),
        most(None, loads.SHARE, holding(4)),
        app="loadtests.apps.asgi:thread_name",
        load=loads.shared(4, UNEVEN),
    ),
)
# What the admin address costs and how soon it answers, and what a start costs.
OPERATIONS = (
    figure("admin-busy", administered(2), least(0.98, UNWATCHED), load=loads.beside(loads.rate, loads.groups(METRICS))),
    figure("admin-blocked", stalling("free-threaded"), *answered_within(50), app=BLOCKING, load=HEALTH),
    figure("admin-blocked-computing", stalling("free-threaded"), *answered_within(50), app=COMPUTING, load=HEALTH),
    figure("admin-blocked-computing-gil", stalling("ordinary"), *answered_within(50), app=COMPUTING, load=HEALTH),
    figure(
        "admin-scrape",
        administered(16),
        most(10, P50),
        most(None, P99),
        load=loads.beside(loads.groups(METRICS_OFTEN, warm_up=3), PAUSING),
    ),
    figure(
        "starting",
        ours(alone.START_THREADS),
        most(1.5, alone.START),
        most(None, "s to start"),
        most(None, "MB per further thread"),
        alone=alone.starting,
        requires=FASTAPI_REQUIRES,
    ),
)
GROUPS = {
    "request-path": REQUEST_PATH,
    "http": HTTP,
    "http2": HTTP2,
    "wsgi": WSGI_FIGURES,
    "websockets": WEBSOCKETS,
    "connections": CONNECTIONS,
    "operations": OPERATIONS,
}
FIGURES = [figure for group in GROUPS.values() for figure in group]
