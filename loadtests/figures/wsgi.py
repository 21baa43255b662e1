"""The figures of WSGI applications."""

from loadtests.figures.figure import Figure, Goal, Peer, against, memory
from loadtests.servers.commands import granian, gunicorn, threadserve, waitress

HELLO = "loadtests.apps.wsgi:hello"
OURS = threadserve("free-threaded", None, interface="wsgi")
HELLO_TITLE = "WSGI hello world, default loops and pool on free-threaded Python"
GRANIAN = granian(1, interface="wsgi")

WSGI_FIGURES = (
    Figure(
        name="wsgi-threads",
        title=HELLO_TITLE,
        measure="rate",
        app=HELLO,
        ours=OURS,
        peers=(
            against(
                GRANIAN,
                granian(2, interface="wsgi"),
                granian(2, "--runtime-mode", "st", interface="wsgi"),
                requests=1.5,
            ),
        ),
    ),
    Figure(
        name="wsgi-threads-cpu",
        title=HELLO_TITLE,
        measure="rate",
        app=HELLO,
        ours=OURS,
        peers=(Peer((GRANIAN,), (Goal("CPU µs per request", "at most", 0.7),)),),
    ),
    Figure(
        name="wsgi-gunicorn",
        title=HELLO_TITLE,
        measure="rate",
        app=HELLO,
        ours=OURS,
        peers=(against(gunicorn("free-threaded", workers=1, threads=8), requests=6),),
    ),
    Figure(
        name="wsgi-waitress",
        title=HELLO_TITLE,
        measure="rate",
        app=HELLO,
        ours=OURS,
        peers=(against(waitress("free-threaded", threads=8), requests=6),),
    ),
    Figure(
        name="wsgi-hello",
        title="WSGI hello world, 1 thread on ordinary Python",
        measure="rate",
        app=HELLO,
        ours=threadserve("ordinary", 1, interface="wsgi"),
        peers=(against(granian(1, build="ordinary", interface="wsgi"), requests=1.5),),
    ),
    Figure(
        name="wsgi-flask",
        title="Flask view that answers JSON, free-threaded Python against processes of ordinary Python",
        measure="rate-and-memory",
        app="loadtests.apps.flask_json:app",
        ours=OURS,
        peers=(
            Peer((gunicorn("ordinary", workers=2, threads=8),), (Goal("requests/s", "at least", 1.4), *memory(0.7))),
        ),
        app_requires=("flask",),
    ),
    Figure(
        name="wsgi-cpu",
        title="CPU-bound WSGI view (about 0.2 ms of pure Python), default pool on free-threaded Python against 1",
        measure="rate",
        app="loadtests.apps.wsgi:cpu_bound",
        ours=OURS,
        peers=(against(threadserve("free-threaded", None, interface="wsgi", wsgi_threads=1), requests=1.7),),
    ),
    Figure(
        name="wsgi-streaming",
        title="200 MB streamed through a WSGI app on free-threaded Python: growth of memory",
        measure="streaming",
        app="loadtests.apps.wsgi_streaming:app",
        ours=OURS,
        alone=(Goal("MB grown by upload", "at most", 20), Goal("MB grown by download", "at most", 20)),
    ),
)
