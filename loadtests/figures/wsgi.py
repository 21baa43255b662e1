"""The figures of WSGI applications."""

from functools import partial

from loadtests.figures.figure import figure, least, memory, most, requiring
from loadtests.harness.loads import rate_and_memory, streams
from loadtests.results.record import CPU
from loadtests.servers.commands import peer, threadserve

HELLO = "loadtests.apps.wsgi:hello"
FLASK = "loadtests.apps.flask_json:app"
OURS = threadserve("free-threaded", None, interface="wsgi")
ORDINARY = threadserve("ordinary", 1, interface="wsgi")
ONE_CALL = threadserve("free-threaded", None, interface="wsgi", wsgi_threads=1)
granian = partial(peer, "granian wsgi", build="free-threaded")
GRANIAN = granian()
GRANIANS = (GRANIAN, granian(2), granian(2, "--runtime-mode", "st"))
ORDINARY_GRANIAN = granian(build="ordinary")
GUNICORN, FORKED = peer("gthread", build="free-threaded", threads=8), peer("gthread", 2, threads=8)
WAITRESS = peer("waitress", build="free-threaded", threads=8)

FIGURES = (
    figure("wsgi-threads", OURS, least(1.5, *GRANIANS), app=HELLO),
    figure("wsgi-threads-cpu", OURS, most(0.7, CPU, GRANIAN), app=HELLO),
    figure("wsgi-gunicorn", OURS, least(6, GUNICORN), app=HELLO),
    figure("wsgi-waitress", OURS, least(6, WAITRESS), app=HELLO),
    figure("wsgi-hello", ORDINARY, least(1.5, ORDINARY_GRANIAN), app=HELLO),
    requiring(
        figure("wsgi-flask", OURS, least(1.4, FORKED), *memory(0.7, FORKED), app=FLASK, load=rate_and_memory), "flask"
    ),
    figure("wsgi-cpu", OURS, least(1.7, ONE_CALL), app="loadtests.apps.wsgi:cpu_bound"),
    figure(
        "wsgi-streaming",
        OURS,
        most(20, "MB grown by upload"),
        most(20, "MB grown by download"),
        app="loadtests.apps.wsgi:streaming",
        load=streams(200_000_000),
    ),
)
