"""Puts together what a loop serves connections with: the calls of the application, HTTP/1.1, HTTP/2 and WebSockets.

Runs once on each loop's thread, except where a function says otherwise.
"""

import importlib
import time
from dataclasses import dataclass

from threadserve.config import Config
from threadserve.http.context import LoopContext, LoopSetup
from threadserve.http.peer import ConnectionFactory, ConnectionProtocol
from threadserve.http.runner import ASGIRunner
from threadserve.http1.codecs import H1Codecs
from threadserve.http1.connection import H1Connection
from threadserve.http1.header_lines import HeaderLines
from threadserve.listening.accepted import ReturnedSocket
from threadserve.proxies.protocol import ProxiedAddresses
from threadserve.runtime.immortal import immortalize_functions
from threadserve.threads.opening import ResumedConnectionFactory
from threadserve.tls.certificates import LoopTls
from threadserve.websocket.starting import make_websocket_starter
from threadserve.wsgi.middleware import WSGIMiddleware
from threadserve.wsgi.runner import WSGIRunner

# By now everything is imported that a request calls.
immortalize_functions()


@dataclass(frozen=True)
class LoopParts:
    """The parts of one loop: its context, shared by its connections, and the functions that make connections."""

    context: LoopContext
    make_connection: ConnectionFactory
    make_resumed: ResumedConnectionFactory


def build_loop_parts(serves: LoopSetup, number: int, *, websockets: bool) -> LoopParts:
    """Build the parts for the running loop, the `number`th of the server. Raises `ConfigError`."""
    context = LoopContext(serves)
    runner = make_app_runner(serves, context)
    context.call_app = runner.start
    # A WSGI application takes none, also where it comes in a `WSGIMiddleware`.
    if websockets and isinstance(runner, ASGIRunner):
        context.begin_websocket = make_websocket_starter(serves.config, context, runner.start_call)
    releaser = context.releaser
    if releaser is not None:
        context.ticker.tick_callbacks.append(releaser.release_long_idle)
    lines = HeaderLines(serves.config)
    context.ticker.tick_callbacks.append(lines.refresh_date)
    http1 = H1Codecs(serves.config, number, serves.bounds, lines)

    def make_http1(announced: ProxiedAddresses | None, tls: LoopTls | None) -> H1Connection:
        connection = H1Connection(context, http1, announced, tls)
        if releaser is not None:
            releaser.on_new_connection(connection)
        return connection

    def make_resumed(returned: ReturnedSocket, addresses: ProxiedAddresses) -> ConnectionProtocol:
        left = returned.deadline - time.monotonic()
        if not returned.speaks_http1:
            connection = make(addresses, None)
        else:
            connection = H1Connection(context, http1, addresses)
            connection.has_sent_request = True
            connection.busy_until = context.deadlines.now + serves.bounds.busy_seconds * returned.is_busy
        connection.deadline = context.deadlines.for_returned(left)
        return connection

    make: ConnectionFactory = make_http1
    if serves.config.http2:
        from threadserve.http2.factory import http2_connection_factory

        make = http2_connection_factory(serves.config, context, make_http1)
    return LoopParts(context, make, make_resumed)


def import_parts(config: Config) -> None:
    """Import what only some configurations need. Runs on the server's thread, before there are loops."""
    if config.http2:
        importlib.import_module("threadserve.http2.factory")
        immortalize_functions()


def make_app_runner(serves: LoopSetup, context: LoopContext) -> ASGIRunner | WSGIRunner:
    """Return what calls the application: a WSGI one without messages of ASGI, unless those are traced."""
    if isinstance(serves.app, WSGIMiddleware):
        return WSGIRunner(serves.app.pool, context)
    return ASGIRunner(serves.app, context.registry, context.start_task)
