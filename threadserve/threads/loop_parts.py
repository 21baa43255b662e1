"""The parts that a loop serves with, put together: what calls the application, HTTP/1.1, and WebSockets.

Runs on the loop's thread, once.
"""

from dataclasses import dataclass

from threadserve.config import Config
from threadserve.http.context import LoopContext, Serves
from threadserve.http.runner import ASGIRunner
from threadserve.http1.connection import H1Connection
from threadserve.http1.lines import HeadLines
from threadserve.http1.protocol import HTTP1
from threadserve.proxies.protocol import Announced
from threadserve.threads.opening import MakeConnection
from threadserve.tls.certificates import LoopTls
from threadserve.uncounted import exempt_from_counting
from threadserve.websocket.beginning import websocket_beginner
from threadserve.wsgi.middleware import WSGIMiddleware
from threadserve.wsgi.runner import WSGIRunner

# With these modules, everything is imported that a request calls.
exempt_from_counting()


@dataclass(frozen=True)
class ServingLoop:
    """What the connections of a loop share, and what makes them."""

    context: LoopContext
    make_connection: MakeConnection


def serving_loop(serves: Serves, number: int, *, websockets: bool) -> ServingLoop:
    """What serves on the running loop, the `number`th of the server. Raises `ConfigError`."""
    context = LoopContext(serves)
    context.call_app = runner_for(serves, context).start
    if websockets:
        context.begin_websocket = websocket_beginner(serves.config, context)
    lines = HeadLines(serves.config)
    context.ticker.renewals.append(lines.renew)
    http1 = HTTP1(serves.config, number, serves.bounds, lines)

    def make_http1(announced: Announced | None, tls: LoopTls | None) -> H1Connection:
        return H1Connection(context, http1, announced, tls)

    return ServingLoop(context, with_http2(serves.config, context, make_http1) if serves.config.http2 else make_http1)


def with_http2(config: Config, context: LoopContext, make_http1: MakeConnection) -> MakeConnection:
    """What makes connections that may speak HTTP/2, and else are what `make_http1` makes."""
    # The library is needed, and takes its memory, only where it is asked for.
    from threadserve.http2.choosing import FirstBytes
    from threadserve.http2.connection import H2Connection
    from threadserve.http2.protocol import HTTP2

    exempt_from_counting()
    http2 = HTTP2(config, context)
    context.ticker.renewals.append(http2.maker.renew)

    def make(announced: Announced | None, tls: LoopTls | None) -> FirstBytes:
        return FirstBytes(
            context, lambda: make_http1(announced, tls), lambda: H2Connection(context, http2, announced, tls)
        )

    return make


def runner_for(serves: Serves, context: LoopContext) -> ASGIRunner | WSGIRunner:
    """What calls the application: a WSGI one past the messages of ASGI, unless those are traced."""
    if isinstance(serves.app, WSGIMiddleware):
        return WSGIRunner(serves.app.pool, context)
    return ASGIRunner(serves.app, context.registry, context.start_task)
