"""The figures of WebSockets."""

from loadtests.figures.figure import Figure, Goal
from loadtests.servers.commands import granian, threadserve, uvicorn

ECHO = "loadtests.apps.echo:app"
SMALL = 100
LARGE = 65_000
OURS = threadserve("ordinary", 1, ws="auto")
IDLE_OPTIONS = ("--ws-ping-interval", "2", "--timeout-keep-alive", "600")


def messages_per_second(target: float) -> tuple[Goal, ...]:
    return (Goal("messages/s", "at least", target),)


WEBSOCKET_FIGURES = (
    Figure(
        name="ws-echo",
        title="WebSocket echo of 100 bytes, 1 thread on ordinary Python",
        measure="echo",
        app=ECHO,
        ours=OURS,
        goals=messages_per_second(1.25),
        peers=(uvicorn(ws="wsproto"),),
        message_size=SMALL,
    ),
    Figure(
        name="ws-echo-sansio",
        title="WebSocket echo of 100 bytes, 1 thread on ordinary Python",
        measure="echo",
        app=ECHO,
        ours=OURS,
        goals=messages_per_second(1.0),
        peers=(uvicorn(ws="websockets-sansio"),),
        message_size=SMALL,
    ),
    Figure(
        name="ws-large",
        title="WebSocket echo of 65 kB, 1 thread on ordinary Python",
        measure="echo",
        app=ECHO,
        ours=OURS,
        goals=messages_per_second(1.5),
        peers=(uvicorn(ws="wsproto"),),
        message_size=LARGE,
    ),
    Figure(
        name="ws-large-websockets",
        title="WebSocket echo of 65 kB, 1 thread on ordinary Python",
        measure="echo",
        app=ECHO,
        ours=threadserve("ordinary", 1, ws="websockets"),
        goals=messages_per_second(1.5),
        peers=(uvicorn(ws="wsproto"),),
        others=(uvicorn(ws="websockets-sansio"),),
        message_size=LARGE,
    ),
    Figure(
        name="ws-threads",
        title="WebSocket echo of 100 bytes, 2 threads on free-threaded Python",
        measure="echo",
        app=ECHO,
        ours=threadserve("free-threaded", 2, ws="auto"),
        goals=messages_per_second(1.2),
        peers=(granian(2, ws=True), granian(2, "--runtime-mode", "st", ws=True)),
        message_size=SMALL,
    ),
    Figure(
        name="ws-idle",
        title="memory of an idle WebSocket that is pinged, beyond an idle keep-alive connection",
        measure="idle",
        app=ECHO,
        ours=threadserve("ordinary", 1, *IDLE_OPTIONS, ws="auto"),
        goals=(
            Goal("kB beyond", "at most", 12, itself=True),
            Goal("kB per WebSocket", itself=True),
            Goal("kB per keep-alive connection", itself=True),
        ),
    ),
)
