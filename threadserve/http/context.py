"""The objects that the connections of one loop share, each with one job.

Made, read and written by the loop's thread alone, except where a part says otherwise. It copies from the configuration
what a request needs, so that no request touches an object of another thread.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

from threadserve.config import Config
from threadserve.http.bounds import Bounds
from threadserve.http.completed_send import CompletedSend
from threadserve.http.concurrency import ConcurrencyLimit
from threadserve.http.cross_thread import CrossThreadSender
from threadserve.http.deadlines import Deadlines
from threadserve.http.errors import HTTPError
from threadserve.http.idle_release import GiveBack, IdleReleaser
from threadserve.http.registry import ConnectionRegistry
from threadserve.http.scope import ScopeBuilder
from threadserve.http.tasks import make_task_starter
from threadserve.http.ticker import Ticker
from threadserve.http.write_buffer import WriteBatcher
from threadserve.logging.access_log import AccessLog
from threadserve.metrics.loop_metrics import LoopMetrics
from threadserve.proxies.forwarded import TrustedHosts, parse_field_names
from threadserve.runtime.contexts import copy_context_unshared
from threadserve.types import ASGIApp, LifespanState

# More bytes than any body has, in a machine word.
NO_LIMIT = 2**63 - 1

# Both take an `Exchange`, whose module imports this one.
CallApp = Callable[[Any], None]
BeginWebSocket = Callable[[Any], None]


@dataclass(frozen=True)
class LoopSetup:
    """The parts of the server that a loop serves with.

    `post_threadsafe` makes a call on the loop and may be called from any thread. `give_back_threadsafe` gives idle
    connections to the acceptor; without it they stay. Without `metrics` nothing is measured. `thread` is the loop's
    number.
    """

    config: Config
    app: ASGIApp
    lifespan_state: LifespanState
    access_log: AccessLog | None
    limit: ConcurrencyLimit | None
    post_threadsafe: Callable[..., object]
    bounds: Bounds
    give_back_threadsafe: GiveBack | None = None
    metrics: LoopMetrics | None = None
    thread: int = 1


class LoopContext:
    """One loop's share of the configuration, its clock, its connections and its calls. Belongs to the loop's thread.

    `body_limit` is the most bytes that a request's body may have. With `cancel_on_disconnect`, calls whose clients have
    gone are cancelled, unless they choose otherwise. `call_app` calls the application for a request, and
    `begin_websocket` begins a WebSocket for an exchange whose request asks for one, or raises `HTTPError`; whoever
    assembles the loop sets both, and `begin_websocket` is None where no WebSockets are served. `releaser` is None where
    idle connections stay with the loop.
    """

    __slots__ = (
        "access_log",
        "begin_websocket",
        "body_limit",
        "bounds",
        "call_app",
        "cancel_on_disconnect",
        "completed_send",
        "cross_thread",
        "deadlines",
        "forwarded_fields",
        "loop",
        "metrics",
        "pathsend",
        "post_threadsafe",
        "registry",
        "releaser",
        "scopes",
        "start_task",
        "thread",
        "ticker",
        "trusted_proxies",
        "write_batcher",
    )

    call_app: CallApp

    def __init__(self, setup: LoopSetup) -> None:
        config = setup.config
        self.loop = asyncio.get_running_loop()
        self.bounds = setup.bounds
        self.metrics = setup.metrics
        self.thread = setup.thread
        self.write_batcher = WriteBatcher(self.loop, self.bounds, self.metrics)
        self.post_threadsafe = setup.post_threadsafe
        self.access_log = setup.access_log
        self.pathsend = config.pathsend
        self.cancel_on_disconnect = config.cancel_on_disconnect
        self.body_limit = min(config.limit_request_body or NO_LIMIT, NO_LIMIT)
        give_back = setup.give_back_threadsafe
        self.deadlines = Deadlines(config, self.loop, self.bounds, gives_back=give_back is not None)
        self.registry = ConnectionRegistry(setup.limit)
        self.releaser = (
            IdleReleaser(self.loop, self.deadlines, self.registry, give_back) if give_back is not None else None
        )
        self.ticker = Ticker(self.loop, self.deadlines, self.registry, self.bounds)
        self.scopes = ScopeBuilder(config, setup.lifespan_state)
        self.completed_send = cast("Coroutine[object, None, None]", CompletedSend())
        self.trusted_proxies = TrustedHosts(config.forwarded_allow_ips if config.proxy_headers else "")
        self.forwarded_fields = parse_field_names(config.forwarded_headers)
        # The loop starts in the context that requests see: it has nothing that the lifespan sets in its own task.
        self.start_task = make_task_starter(
            self.loop, contextvars.Context if config.reset_contextvars else copy_context_unshared().copy
        )
        self.cross_thread = CrossThreadSender(setup.post_threadsafe, self.start_task)
        self.begin_websocket: BeginWebSocket | None = None

    def check_body_length(self, length: int) -> None:
        """Raise `HTTPError` if the body of a request is longer than `body_limit`, or declared to be."""
        if length > self.body_limit:
            raise HTTPError(413, f"the body of the request is longer than {self.body_limit} bytes")

    def begin_shutdown(self) -> None:
        """Drain the loop: see `ConnectionRegistry` and `Ticker`."""
        if self.releaser is not None:
            self.releaser.close()
        self.registry.is_draining = True
        self.ticker.begin_shutdown()
        self.registry.begin_shutdown()
