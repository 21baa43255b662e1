"""What the connections of one loop share.

Made, read and written by that loop's thread alone, except for the sizes of its sets, the counts of `requests` and
`ticks`, `loop` and `crossing`, which any thread may read. It copies from the configuration what a request needs, so
that no request touches an object of another thread; it never touches a transport itself.
"""

import asyncio
import contextvars
import sys
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from math import inf
from typing import Any, Protocol

from threadserve.config import Config
from threadserve.contexts import unshared_copy
from threadserve.http.concurrency import ConcurrencyLimit
from threadserve.http.crossing import Crossing
from threadserve.http.grammar import head_pattern
from threadserve.http.parsers import PARSERS, parser_name
from threadserve.http.refusal import status_line
from threadserve.http.response_fields import FieldLines, final_status
from threadserve.logging.access_log import AccessLog
from threadserve.proxies.forwarded import TrustedHosts, believed_fields
from threadserve.types import ASGIApp

TICK = 0.5
SHUTDOWN_TICK = 0.1
LINGER = 2.0
CLOSE = 10.0
UNTAKEN = 60.0
IDLE_GRACE = 1.0
HEAD_PATIENCE = 0.1
# How long, in seconds, clients may take that have not finished what they began: a handshake, or the head of a request.
BEGUN_GRACE = 2.0


class Kept(Protocol):
    """A connection, as far as the loop's housekeeping sees it."""

    deadline: float

    def begin_shutdown(self) -> None:
        """The server is stopping."""
        ...

    def abort(self) -> None:
        """Closes the connection at once."""
        ...

    def on_deadline(self) -> None:
        """The connection's deadline has passed."""
        ...


class Successor(Kept, Protocol):
    """What a connection was handed over to."""

    def eof_received(self) -> bool:
        """The client sends no more. Returns whether it may still get something."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by whichever side."""
        ...


# From the transport, the scope of the request and the bytes behind its head. Raises `Refusal`.
BeginWebSocket = Callable[[asyncio.Transport, dict[str, Any], bytes], Successor]


class LoopState:
    """One loop's share of the configuration, its caches, and the connections and exchanges that it serves."""

    __slots__ = (
        "_config_fields",
        "_looked_at",
        "_now",
        "_sends_date",
        "_tick_handle",
        "_tick_interval",
        "_timeout_keep_alive",
        "_timeout_request_header",
        "_ws_ping_interval",
        "_ws_ping_timeout",
        "access_log",
        "app",
        "awaits_bodies",
        "begin_websocket",
        "believed_fields",
        "close_deadline",
        "connections",
        "crossing",
        "default_fields",
        "drained",
        "draining",
        "exchanges",
        "field_limit",
        "field_lines",
        "head_deadline",
        "head_limit",
        "idle_deadline",
        "lifespan_state",
        "limit",
        "linger_deadline",
        "loop",
        "make_parser",
        "match_head",
        "opening",
        "pathsend",
        "ping_deadline",
        "pong_deadline",
        "post_threadsafe",
        "requests",
        "root_path",
        "root_path_bytes",
        "start_task",
        "starting",
        "status_lines",
        "ticks",
        "trusted_proxies",
        "untaken_deadline",
        "ws_deflate",
        "ws_max_queue",
        "ws_max_size",
        "wsgi_calls",
    )

    def __init__(
        self,
        config: Config,
        number: int,
        app: ASGIApp,
        lifespan_state: dict[str, Any],
        access_log: AccessLog | None,
        limit: ConcurrencyLimit | None,
        post_threadsafe: Callable[..., object],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        # Has a call made on this loop, for any thread: the loop's mailbox.
        self.post_threadsafe = post_threadsafe
        self.app = app
        self.lifespan_state = lifespan_state
        self.access_log = access_log
        self.limit = limit
        # What hands requests to a pool of threads, once a connection needs it.
        self.wsgi_calls: Any = None
        self.connections: set[Kept] = set()
        self.exchanges: set[Any] = set()
        self.opening: set[asyncio.Task[None]] = set()
        self.requests = 0
        self.ticks = 0
        # Whether an application is being called this moment, whose exchange joins the others only when it has to wait.
        self.starting = False
        # Whether it will be looked whether heads are held for bodies that are late.
        self.awaits_bodies = False
        self.draining = False
        self.drained = asyncio.Event()

        self.root_path = config.root_path
        self.root_path_bytes = config.root_path.encode()
        self.pathsend = config.pathsend
        self.head_limit = config.head_limit
        self.field_limit = config.limit_request_header_fields
        self.match_head = head_pattern(number).match
        self.make_parser = PARSERS[parser_name(config.http)]
        # The loop begins in the context that requests see: what the lifespan sets in its own task is not in it.
        self.start_task = task_starter(
            self.loop, contextvars.Context if config.reset_contextvars else unshared_copy().copy
        )
        self.crossing = Crossing(post_threadsafe, self.start_task)
        self.trusted_proxies = TrustedHosts(config.forwarded_allow_ips if config.proxy_headers else "")
        self.believed_fields = believed_fields(config.forwarded_headers)

        self.field_lines = FieldLines()
        self.status_lines: dict[int, bytes] = {}
        self._config_fields = config_fields(config)
        self._sends_date = config.date_header and not any(name.lower() == "date" for name, _ in config.headers)
        self.default_fields = b""

        # A size of its own for each loop: threads that share a number wait for each other to count its references.
        self.ws_max_size = config.ws_max_size + 0
        self.ws_max_queue = config.ws_max_queue + 0
        self.ws_deflate = config.ws_per_message_deflate
        # What goes on with a connection whose client asks for a WebSocket, where those are served.
        self.begin_websocket: BeginWebSocket | None = None
        self._ws_ping_interval = config.ws_ping_interval or inf
        self._ws_ping_timeout = config.ws_ping_timeout or inf
        self._timeout_keep_alive = config.timeout_keep_alive
        self._timeout_request_header = config.timeout_request_header
        self.idle_deadline = 0.0
        self.head_deadline = 0.0
        self.linger_deadline = 0.0
        self.ping_deadline = 0.0
        self.pong_deadline = 0.0
        self.close_deadline = 0.0
        self.untaken_deadline = 0.0
        # The time that deadlines are in, which stands still while the loop is blocked; and when it was renewed last.
        self._now = self._looked_at = self.loop.time()
        self._tick_interval = TICK
        self._tick_handle: asyncio.TimerHandle | None = None
        self._renew()

    def learn_status(self, status: int) -> bytes:
        """The line of a status that is not in `status_lines` yet. Raises `ValueError` where it is none to end with."""
        line = self.status_lines[status] = status_line(final_status(status))
        return line

    def start(self) -> None:
        """Starts the ticks: twice a second the date is renewed and the connections' deadlines are looked at."""
        self._tick_handle = self.loop.call_later(self._tick_interval, self._tick)

    def stop(self) -> None:
        """Ends the ticks."""
        if self._tick_handle is not None:
            self._tick_handle.cancel()

    def _tick(self) -> None:
        self.ticks += 1
        self._renew()
        self._tick_handle = self.loop.call_later(self._tick_interval, self._tick)
        # What clients sent in time may wait to be read, after a stall above all: it gets a turn before deadlines do.
        self.loop.call_soon(self.loop.call_soon, self.sweep, self._now)

    def begin_shutdown(self) -> None:
        """From now on every response closes its connection, and idle connections are closed."""
        self.draining = True
        self._renew()
        self._tick_interval = SHUTDOWN_TICK
        self.stop()
        self.start()
        for connection in list(self.connections):
            connection.begin_shutdown()
        self.loop.call_later(BEGUN_GRACE, self.give_up_opening)
        self.check_drained()

    def shutdown_deadline(self, idle_deadline: float) -> float:
        """When an idle connection is closed by a shutdown, given when it would have been closed for idleness.

        One that was used a moment ago may have its next request under way, so it is kept for that moment. When exactly
        it was used is not known, but the deadline counts from a tick that came no earlier.
        """
        idle_since = idle_deadline - self._timeout_keep_alive
        return min(max(self._now, idle_since + IDLE_GRACE), self._now + IDLE_GRACE)

    def on_opened(self, task: "asyncio.Task[None]") -> None:
        """A connection that was being opened is open, or has failed to."""
        self.opening.discard(task)
        self.check_drained()

    def give_up_opening(self) -> None:
        """Opens nothing further: clients that are still at their handshake are let go."""
        for task in list(self.opening):
            task.cancel()

    def cut_off(self) -> None:
        """Ends every call of the application and every connection. The access log has been told when this returns."""
        for exchange in list(self.exchanges):
            exchange.cancel()
        for connection in list(self.connections):
            connection.abort()

    def check_drained(self) -> None:
        """Sets `drained` when the shutdown has nothing left to wait for."""
        if self.draining and not (self.exchanges or self.connections or self.opening):
            self.drained.set()

    def sweep(self, now: float) -> None:
        """Tells every connection whose deadline is before `now`, in the seconds of `_now`."""
        for connection in [connection for connection in self.connections if connection.deadline <= now]:
            connection.on_deadline()

    def await_bodies(self) -> None:
        """A head is held for its body: looks after it, and others, until none is."""
        self.awaits_bodies = True
        self.loop.call_later(HEAD_PATIENCE, self._send_late_heads)

    def _send_late_heads(self) -> None:
        self.awaits_bodies = False
        held = [exchange for exchange in list(self.exchanges) if exchange.send_late_head()]
        if held:
            self.await_bodies()

    def _renew(self) -> None:
        looked_at, self._looked_at = self._looked_at, self.loop.time()
        self._now += min(self._looked_at - looked_at, self._tick_interval)
        # A deadline set between two ticks counts from the next one, however late that is, so that none comes early.
        base = self._now + TICK
        self.idle_deadline = self._now + IDLE_GRACE if self.draining else base + self._timeout_keep_alive
        head_timeout = self._timeout_request_header
        self.head_deadline = self._now + min(BEGUN_GRACE, head_timeout) if self.draining else base + head_timeout
        self.linger_deadline = base + LINGER
        self.ping_deadline = base + self._ws_ping_interval
        self.pong_deadline = base + self._ws_ping_timeout
        self.close_deadline = base + CLOSE
        self.untaken_deadline = base + UNTAKEN
        date = f"date: {formatdate(usegmt=True)}\r\n".encode() if self._sends_date else b""
        self.default_fields = date + self._config_fields


def config_fields(config: Config) -> bytes:
    """The lines of the server header and of the headers that are added to every response."""
    names = {name.lower() for name, _ in config.headers}
    headers = [("server", "threadserve")] if config.server_header and "server" not in names else []
    return "".join(f"{name}: {value}\r\n" for name, value in [*headers, *config.headers]).encode("latin-1")


TaskStarter = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


def task_starter(loop: asyncio.AbstractEventLoop, make_context: Callable[[], contextvars.Context]) -> TaskStarter:
    """How a request's task is started: at once where Python can (3.12), which saves a turn of the loop.

    Each has a context of its own. The current one would not do: it is that of an earlier request of the connection
    where that request's application was the one to have more read.
    """

    def start(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        if sys.version_info >= (3, 12):
            return asyncio.Task(work, loop=loop, eager_start=True, context=make_context())
        return loop.create_task(work, context=make_context())

    return start
