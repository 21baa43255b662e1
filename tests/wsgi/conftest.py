"""Serves WSGI applications both ways: the short one inside the server, and over the messages of ASGI."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.embedded_server import EmbeddedServer, Serve, servers
from support.error_log import ErrorLog
from support.raw_client import Connect, clients
from support.waiting import DEADLINE

from threadserve.types import ASGIApp, Receive, Scope, Send
from threadserve.wsgi import WSGIMiddleware

DEFAULTS = {"wsgi_threads": 4, "wsgi_queue": 1024, "timeout_request": None, "timeout_keep_alive": 6 * DEADLINE}


def forwarded_to(middleware: WSGIMiddleware) -> ASGIApp:
    """An ASGI application of which the server does not know what is behind it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await middleware(scope, receive, send)

    return app


@pytest.fixture(params=["short", "general"])
def way(request: pytest.FixtureRequest) -> str:
    """The way that a request takes."""
    return str(request.param)


@pytest.fixture
def serve(error_log: ErrorLog, way: str) -> Iterator[Serve]:
    """`serve(app, **settings)` starts a server for a WSGI application, on one loop and four pool threads."""
    with servers(threads=1) as start, ExitStack() as middlewares:

        def start_wsgi(app: Any, **settings: Any) -> EmbeddedServer:
            settings = {**DEFAULTS, **settings}
            if way == "short":
                return start(app, interface="wsgi", **settings)
            middleware = WSGIMiddleware(
                app,
                threads=settings["wsgi_threads"],
                queue=settings["wsgi_queue"],
                timeout_request=settings["timeout_request"],
            )
            middleware.pool.start()
            middlewares.callback(middleware.stop, DEADLINE)
            return start(forwarded_to(middleware), lifespan="off", **settings)

        yield start_wsgi


@pytest.fixture
def connect_process() -> Iterator[Connect]:
    """`connect_process(server)` opens a connection to a server process, whose way is its own."""
    with clients() as open_client:
        yield open_client
