"""Load: idle connections go back and forth between the threads, thousands of times, and lose nothing on the way."""

import logging
import threading
from pathlib import Path

import pytest
from support.embedded_server import EmbeddedServer, Serve
from support.hand_backs import Clients, Result, app
from support.waiting import wait_until

from threadserve.threads.idle_connections import HAS_EPOLL

pytestmark = pytest.mark.skipif(not HAS_EPOLL, reason="idle connections stay with their loops")

THREADS, CONNECTIONS = 4, 120
# Whichever comes first ends the test; on a machine that is busy there are fewer hand-backs, but some.
HAND_BACKS, SECONDS, LEAST = 20_000, 5.0, 200


def stress(server: EmbeddedServer, hand_backs: int) -> Result:
    """Has every loop give back every connection after every response, until so many are seen to have come back."""
    assert server.server._server_run is not None
    loops = server.server._server_run._acceptor.loops

    def grant() -> None:
        """The balancer may take back what it has not granted itself; a second later there is credit again."""
        for loop in loops:
            loop.grant_threadsafe(10 * HAND_BACKS, takes_busy=True)

    return Clients(server.host, server.port, CONNECTIONS).run(hand_backs, SECONDS, grant)


def descriptors() -> int:
    """How many this process has, with the one by which they are counted."""
    return len([*Path("/proc/self/fd").iterdir()])


def test_no_hand_back_loses_or_leaves_anything(serve: Serve, loop: str, caplog: pytest.LogCaptureFixture) -> None:
    """Every request has its own answer, once and in order; descriptors and threads are as before, the log is empty."""
    server = serve(app, threads=THREADS, loop=loop, lifespan="off", access_log=False)
    # The first round makes what is made once.
    assert stress(server, LEAST).failures == []
    assert server.server._server_run is not None
    balancer = server.server._server_run._acceptor._balancer
    assert balancer is not None
    wait_until(lambda: len(balancer._monitors) == THREADS, "the balancer to have looked at every loop")
    caplog.clear()
    before, threads = descriptors(), threading.active_count()
    result = stress(server, HAND_BACKS)
    assert result.failures == []
    assert result.hand_backs >= LEAST
    wait_until(lambda: descriptors() <= before, "the connections' descriptors to be closed")
    assert threading.active_count() == threads
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
