"""The figures of WebSockets on one thread of ordinary Python."""

from loadtests.figures.figure import Figure, Goal, Peer, echoing
from loadtests.figures.request_path import ECHO, LARGE, SMALL
from loadtests.servers.commands import threadserve, uvicorn

OURS = threadserve("ordinary", 1, ws="auto")
# What a keep-alive connection costs on a loop, as a WebSocket is on one.
IDLE_OPTIONS = ("--ws-ping-interval", "2", "--timeout-keep-alive", "600", "--no-release-idle")


WEBSOCKET_FIGURES = (
    Figure(
        name="ws-echo",
        title="WebSocket echo of 100 bytes, 1 thread on ordinary Python",
        measure="echo",
        app=ECHO,
        ours=OURS,
        peers=(echoing(uvicorn(ws="wsproto"), messages=1.25),),
        message_size=SMALL,
    ),
    Figure(
        name="ws-echo-sansio",
        title="WebSocket echo of 100 bytes, 1 thread on ordinary Python",
        measure="echo",
        app=ECHO,
        ours=OURS,
        peers=(echoing(uvicorn(ws="websockets-sansio"), messages=1.0),),
        message_size=SMALL,
    ),
    Figure(
        name="ws-large",
        title="WebSocket echo of 65 kB, 1 thread on ordinary Python",
        measure="echo",
        app=ECHO,
        ours=OURS,
        peers=(echoing(uvicorn(ws="wsproto"), messages=1.5),),
        message_size=LARGE,
    ),
    Figure(
        name="ws-large-websockets",
        title="WebSocket echo of 65 kB, 1 thread on ordinary Python",
        measure="echo",
        app=ECHO,
        ours=threadserve("ordinary", 1, ws="websockets"),
        peers=(
            echoing(uvicorn(ws="wsproto"), messages=1.5),
            Peer((uvicorn(ws="websockets-sansio"),), (Goal("messages/s"),)),
        ),
        message_size=LARGE,
    ),
    Figure(
        name="ws-idle",
        title="memory of an idle WebSocket that is pinged, beyond an idle keep-alive connection",
        measure="idle",
        app=ECHO,
        ours=threadserve("ordinary", 1, *IDLE_OPTIONS, ws="auto"),
        alone=(Goal("kB beyond", "at most", 12), Goal("kB per WebSocket"), Goal("kB per keep-alive connection")),
    ),
)
