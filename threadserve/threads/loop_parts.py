"""The parts that a loop serves with, put together: what calls the application, HTTP/1.1, and WebSockets.

Runs on the loop's thread, once, except where a function says otherwise.
"""

import importlib
import time
from dataclasses import dataclass
from typing import Any

from threadserve.config import Config
from threadserve.http.context import LoopContext, LoopSetup
from threadserve.http.runner import ASGIRunner
from threadserve.http1.codecs import H1Codecs
from threadserve.http1.connection import H1Connection
from threadserve.http1.header_lines import HeaderLines
from threadserve.listening.accepted import ReturnedSocket
from threadserve.proxies.protocol import ProxiedAddresses
from threadserve.runtime.immortal import immortalize_functions
from threadserve.threads.opening import MakeAgain, MakeConnection
from threadserve.tls.certificates import LoopTls
from threadserve.websocket.beginning import websocket_beginner
from threadserve.wsgi.middleware import WSGIMiddleware
from threadserve.wsgi.runner import WSGIRunner

# With these modules, everything is imported that a request calls.
immortalize_functions()


@dataclass(frozen=True)
class ServingLoop:
    """What the connections of a loop share, and what makes them."""

    context: LoopContext
    make_connection: MakeConnection
    make_again: MakeAgain


def serving_loop(serves: LoopSetup, number: int, *, websockets: bool) -> ServingLoop:
    """What serves on the running loop, the `number`th of the server. Raises `ConfigError`."""
    context = LoopContext(serves)
    context.call_app = runner_for(serves, context).start
    if websockets:
        context.begin_websocket = websocket_beginner(serves.config, context)
    releaser = context.releaser
    if releaser is not None:
        context.ticker.tick_callbacks.append(releaser.release_long_idle)
    lines = HeaderLines(serves.config)
    context.ticker.tick_callbacks.append(lines.refresh_date)
    http1 = H1Codecs(serves.config, number, serves.bounds, lines)

    def make_http1(announced: ProxiedAddresses | None, tls: LoopTls | None) -> H1Connection:
        connection = H1Connection(context, http1, announced, tls)
        if releaser is not None:
            releaser.on_new(connection)
        return connection

    def make_again(returned: ReturnedSocket, addresses: ProxiedAddresses) -> Any:
        left = returned.deadline - time.monotonic()
        if not returned.speaks_http1:
            connection = make(addresses, None)
        else:
            connection = H1Connection(context, http1, addresses)
            connection.has_spoken = True
            connection.busy_until = context.deadlines.now + serves.bounds.busy_seconds * returned.is_busy
        connection.deadline = context.deadlines.for_returned(left)
        return connection

    make: MakeConnection = make_http1
    if serves.config.http2:
        from threadserve.http2.making import with_http2

        make = with_http2(serves.config, context, make_http1)
    return ServingLoop(context, make, make_again)


def import_parts(config: Config) -> None:
    """Imports what only some configurations need, on the thread of the server, before there are loops."""
    if config.http2:
        importlib.import_module("threadserve.http2.making")
        immortalize_functions()


def runner_for(serves: LoopSetup, context: LoopContext) -> ASGIRunner | WSGIRunner:
    """What calls the application: a WSGI one past the messages of ASGI, unless those are traced."""
    if isinstance(serves.app, WSGIMiddleware):
        return WSGIRunner(serves.app.pool, context)
    return ASGIRunner(serves.app, context.registry, context.start_task)
