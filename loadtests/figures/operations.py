"""The figures of what shows those who run a server how it is: what that costs, and how soon it answers."""

from dataclasses import replace

from loadtests.clients import admin
from loadtests.figures.connections import BLOCKING
from loadtests.figures.figure import Figure, Goal, against
from loadtests.figures.request_path import HELLO
from loadtests.servers.commands import HOST_AND_PORT, Build, Server, threadserve

BLOCKED = (Goal("p99 ms", "at most", 50), Goal("p50 ms", "at most"))
# So much shorter than the requests that block that two loops are late at the same time whenever their requests begin.
STALLED_SOON = ("--timeout-loop-stall", "0.1")


def administered(threads: int, *options: str, build: Build = "free-threaded") -> Server:
    """With the admin address that its client asks."""
    address = (*HOST_AND_PORT, "--admin-bind", f"{admin.HOST}:{{port}}")
    return replace(threadserve(build, threads, *options), address=address)


def unwatched(threads: int) -> Server:
    """Without that, and without a watchdog."""
    server = threadserve("free-threaded", threads, "--timeout-loop-stall", "0")
    return replace(server, label=f"{server.label}, unwatched")


def blocked(name: str, how: str, app: str, build: Build = "free-threaded") -> Figure:
    """Health while every loop is blocked."""
    return Figure(
        name=name,
        title=f"/livez and /readyz while 64 clients wait and both threads {how} on {build} Python",
        measure="admin-blocked",
        app=app,
        ours=administered(2, *STALLED_SOON, build=build),
        alone=BLOCKED,
    )


OPERATIONS_FIGURES = (
    Figure(
        name="admin-busy",
        title="hello world while the metrics are asked for once a second, 2 threads on free-threaded Python",
        measure="admin-busy",
        app=HELLO,
        ours=administered(2),
        peers=(against(unwatched(2), requests=0.98),),
    ),
    blocked("admin-blocked", "sleep", BLOCKING),
    blocked("admin-blocked-computing", "compute", "loadtests.apps.blocking:computing"),
    blocked("admin-blocked-computing-gil", "compute", "loadtests.apps.blocking:computing", "ordinary"),
    Figure(
        name="admin-scrape",
        title="/metrics of 16 threads with 2,000 kept connections that pause for 1.5 s, on free-threaded Python",
        measure="admin-scrape",
        app=HELLO,
        ours=administered(16),
        alone=(Goal("p50 ms", "at most", 10), Goal("p99 ms", "at most")),
    ),
)
