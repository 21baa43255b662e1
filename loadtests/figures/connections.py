"""The figures of kept connections, which the acceptor has between two requests: with that, and without."""

from dataclasses import replace

from loadtests.clients import spread
from loadtests.figures.figure import Figure, Goal, Peer, against
from loadtests.figures.request_path import HELLO
from loadtests.servers.commands import Server, granian, h2corn, threadserve, uvicorn

BLOCKING = "loadtests.apps.blocking:app"
LATENCIES = (Goal("p99 ms", "at most", 15), Goal("p50 ms", "at most"))
LATENCIES_SHOWN = (Goal("p99 ms", "at most"), Goal("p50 ms", "at most"))
MEMORY = "kB per connection"
SHARE = "busiest over mean"
LONG = ("--timeout-keep-alive", "60")


def releasing(threads: int, *options: str) -> Server:
    return threadserve("free-threaded", threads, *options)


def holding(threads: int, *options: str) -> Server:
    """The same where each connection stays with its thread."""
    server = releasing(threads, *options, "--no-release-idle")
    return replace(server, label=f"{server.label}, --no-release-idle")


CONNECTIONS_FIGURES = (
    Figure(
        name="kept-stall-2",
        title="requests on kept connections while one after another holds its loop for 0.5 s, 2 threads",
        measure="kept-latency",
        app=BLOCKING,
        ours=releasing(2),
        peers=(Peer((holding(2), uvicorn(2), h2corn("free-threaded", workers=2), granian(2)), LATENCIES_SHOWN),),
        alone=LATENCIES,
    ),
    Figure(
        name="kept-stall-4",
        title="requests on kept connections while one after another holds its loop for 0.5 s, 4 threads",
        measure="kept-latency",
        app=BLOCKING,
        ours=releasing(4),
        peers=(Peer((holding(4), uvicorn(2), granian(2)), LATENCIES_SHOWN),),
        alone=LATENCIES,
    ),
    Figure(
        name="kept-busy",
        title="hello world on busy kept connections, 2 threads on free-threaded Python",
        measure="rate",
        app=HELLO,
        ours=releasing(2),
        peers=(against(holding(2), requests=0.98),),
    ),
    Figure(
        name="kept-paused",
        title="hello world on 2,000 kept connections that pause for 1.5 s, 2 threads on free-threaded Python",
        measure="kept-paused",
        app=HELLO,
        ours=releasing(2),
        peers=(Peer((holding(2),), (Goal("requests/s", "at least", 0.9), Goal("CPU µs per request", "at most"))),),
    ),
    Figure(
        name="kept-idle-memory",
        title="memory of idle kept connections, 2 threads on free-threaded Python",
        measure="kept-idle",
        app=HELLO,
        ours=releasing(2, *LONG),
        peers=(Peer((holding(2, *LONG),), (Goal(MEMORY, "at most"),)),),
        alone=(Goal(MEMORY, "at most", 0.8),),
    ),
    Figure(
        name="kept-spread",
        title="requests of the busiest of 4 threads, a few kept connections asking ten times as often",
        measure="kept-spread",
        app="loadtests.apps.thread_name:app",
        ours=releasing(spread.THREADS),
        peers=(Peer((holding(spread.THREADS),), (Goal(SHARE, "at most"),)),),
        alone=(Goal(SHARE, "at most", 1.2),),
    ),
)
