"""Load: idle connections go back and forth between the threads, thousands of times, and lose nothing on the way."""

from pathlib import Path

import pytest
from support.embedded_server import EmbeddedServer, Serve
from support.error_log import ErrorLog
from support.waiting import DEADLINE, wait_until

from loadtests.apps.handbacks import app
from loadtests.clients.handbacks import Clients, Result
from threadserve.threads.idle_connections import HAS_EPOLL

pytestmark = pytest.mark.skipif(not HAS_EPOLL, reason="idle connections stay with their loops")

THREADS, CONNECTIONS, HAND_BACKS = 4, 60, 1_200


def stress(server: EmbeddedServer, hand_backs: int) -> Result:
    """Has every loop give back every connection after every response, until so many are seen to have come back."""
    assert server.server._server_run is not None
    loops = server.server._server_run._acceptor.loops

    def grant(result: Result | None = None) -> None:
        """The balancer may take back what it has not granted itself; a second later there is credit again."""
        for loop in loops:
            loop.grant_threadsafe(10 * HAND_BACKS, takes_busy=True)

    grant()
    return Clients((server.host, server.port), CONNECTIONS).run(hand_backs, 3 * DEADLINE, grant)


def descriptors() -> int:
    """How many this process has, with the one by which they are counted."""
    return len([*Path("/proc/self/fd").iterdir()])


def test_no_hand_back_loses_or_leaves_anything(serve: Serve, error_log: ErrorLog, loop: str) -> None:
    server = serve(app, threads=THREADS, loop=loop, lifespan="off", access_log=False)
    # The first round makes what is made once.
    assert stress(server, HAND_BACKS // 10).failures == []
    serving = server.server._server_run
    assert serving is not None
    balancer = serving._acceptor._balancer
    assert balancer is not None
    wait_until(lambda: len(balancer._monitors) == THREADS, "the balancer to have looked at every loop")
    before = descriptors()
    result = stress(server, HAND_BACKS)
    assert result.failures == []
    assert result.hand_backs >= HAND_BACKS
    wait_until(lambda: descriptors() <= before, "the connections' descriptors to be closed")
