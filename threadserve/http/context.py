"""What the connections of one loop share: small objects, each with one job.

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
from threadserve.http.runner import make_task_starter
from threadserve.http.scope import ScopeBuilder
from threadserve.http.ticker import Ticker
from threadserve.http.write_buffer import WriteBatcher
from threadserve.logging.access_log import AccessLog
from threadserve.metrics.loop_metrics import LoopMetrics
from threadserve.proxies.forwarded import TrustedHosts, parse_field_names
from threadserve.runtime.contexts import copy_context_unshared
from threadserve.types import ASGIApp

# More bytes than anybody sends, in a machine word.
NO_LIMIT = 2**63 - 1

CallApp = Callable[[Any], None]
BeginWebSocket = Callable[[Any], None]


@dataclass(frozen=True)
class LoopSetup:
    """What a loop serves, and how much at once.

    `post_threadsafe` has a call made on the loop, for any thread. `give_back_threadsafe` gives the acceptor connections
    that are idle; without it they stay. Without `metrics` nothing is measured. `thread` is the loop's number.
    """

    config: Config
    app: ASGIApp
    lifespan_state: dict[str, Any]
    access_log: AccessLog | None
    limit: ConcurrencyLimit | None
    post_threadsafe: Callable[..., object]
    bounds: Bounds
    give_back_threadsafe: GiveBack | None = None
    metrics: LoopMetrics | None = None
    thread: int = 1


class LoopContext:
    """One loop's share of the configuration, its clock, its connections and its calls.

    `body_limit` is the most bytes that a request's body may have.
    `cancel_on_disconnect` says whether calls are cancelled whose clients have gone, where they do not choose.
    `call_app` has the application called for a request; it is given by who puts the loop's parts together.
    `releaser` is None where idle connections stay with the loop.
    `begin_websocket` begins a WebSocket for an exchange whose request asks for one, or raises `HTTPError`; it is None
    where none are served.
    """

    __slots__ = (
        "access_log",
        "begin_websocket",
        "believed_fields",
        "body_limit",
        "bounds",
        "call_app",
        "cancel_on_disconnect",
        "completed_send",
        "cross_thread",
        "deadlines",
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

    def __init__(self, serves: LoopSetup) -> None:
        config = serves.config
        self.loop = asyncio.get_running_loop()
        self.bounds = serves.bounds
        self.metrics = serves.metrics
        self.thread = serves.thread
        self.write_batcher = WriteBatcher(self.loop, self.bounds, self.metrics)
        self.post_threadsafe = serves.post_threadsafe
        self.access_log = serves.access_log
        self.pathsend = config.pathsend
        self.cancel_on_disconnect = config.cancel_on_disconnect
        self.body_limit = min(config.limit_request_body or NO_LIMIT, NO_LIMIT)
        give_back = serves.give_back_threadsafe
        self.deadlines = Deadlines(config, self.loop, self.bounds, gives_back=give_back is not None)
        self.registry = ConnectionRegistry(serves.limit)
        self.releaser = (
            IdleReleaser(self.loop, self.deadlines, self.registry, give_back) if give_back is not None else None
        )
        self.ticker = Ticker(self.loop, self.deadlines, self.registry, self.bounds)
        self.scopes = ScopeBuilder(config, serves.lifespan_state)
        self.completed_send = cast("Coroutine[Any, Any, None]", CompletedSend())
        self.trusted_proxies = TrustedHosts(config.forwarded_allow_ips if config.proxy_headers else "")
        self.believed_fields = parse_field_names(config.forwarded_headers)
        # The loop begins in the context that requests see: what the lifespan sets in its own task is not in it.
        self.start_task = make_task_starter(
            self.loop, contextvars.Context if config.reset_contextvars else copy_context_unshared().copy
        )
        self.cross_thread = CrossThreadSender(serves.post_threadsafe, self.start_task)
        self.begin_websocket: BeginWebSocket | None = None

    def check_body_length(self, length: int) -> None:
        """Raises `HTTPError` where a request's body is, or is said to be, longer than one may be."""
        if length > self.body_limit:
            raise HTTPError(413, f"the body of the request is longer than {self.body_limit} bytes")

    def begin_shutdown(self) -> None:
        """The server is stopping: see `ConnectionRegistry` and `Ticker`."""
        if self.releaser is not None:
            self.releaser.close()
        self.registry.is_draining = True
        self.ticker.begin_shutdown()
        self.registry.begin_shutdown()
