"""The figures of HTTP/2, without TLS, by h2load."""

from loadtests.figures.figure import Figure, Goal, Peer, against
from loadtests.servers.commands import granian, h2corn, hypercorn, threadserve

HELLO = "loadtests.apps.hello:app"
OURS = threadserve("free-threaded", 2, http2=True)
MANY_TITLE = "HTTP/2, hello world, 10 connections x 10 streams, 2 threads on free-threaded Python"
SHOWN = (Goal("requests/s"), Goal("CPU µs per request"))

HTTP2_FIGURES = (
    Figure(
        name="http2-hello",
        title=MANY_TITLE,
        measure="rate",
        app=HELLO,
        ours=OURS,
        peers=(
            against(hypercorn("ordinary", workers=2), requests=2.5),
            Peer((threadserve("free-threaded", 2),), SHOWN),
            Peer((h2corn("free-threaded", workers=1), h2corn("free-threaded", workers=2)), SHOWN),
            Peer((granian(1, "--http", "auto"), granian(2, "--http", "auto")), SHOWN),
        ),
        connections=10,
        streams=10,
    ),
    Figure(
        name="http2-one-connection",
        title="HTTP/2, hello world, one connection x 100 streams",
        measure="rate",
        app=HELLO,
        ours=OURS,
        peers=(against(hypercorn("ordinary", workers=1), requests=2),),
        connections=1,
        streams=100,
    ),
    Figure(
        name="http2-large",
        title="HTTP/2, bodies of 2 MB, one connection x 50 streams",
        measure="rate",
        app="loadtests.apps.bodies:large",
        ours=OURS,
        peers=(against(hypercorn("ordinary", workers=1), requests=2),),
        connections=1,
        streams=50,
    ),
)
