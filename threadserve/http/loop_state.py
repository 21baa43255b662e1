"""What the HTTP connections of one loop share.

Made, read and written by that loop's thread alone, except for the sizes of its sets and the count of `requests`, which
any thread may read. It copies from the configuration what a request needs, so that no request touches an object of
another thread; it never touches a transport itself.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from functools import partial
from typing import Any, Protocol

from threadserve.access_log import AccessLog
from threadserve.config import Config
from threadserve.http.concurrency import ConcurrencyLimit
from threadserve.http.grammar import head_pattern
from threadserve.http.parsers import PARSERS, parser_name
from threadserve.http.refusal import status_line
from threadserve.http.response_fields import FieldLines
from threadserve.types import ASGIApp

TICK = 0.5
SHUTDOWN_TICK = 0.1
LINGER = 2.0
IDLE_GRACE = 1.0


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


class LoopState:
    """One loop's share of the configuration, its caches, and the connections and exchanges that it serves."""

    __slots__ = (
        "_config_fields",
        "_now",
        "_sends_date",
        "_tick_handle",
        "_tick_interval",
        "_timeout_keep_alive",
        "_timeout_request_header",
        "access_log",
        "app",
        "asgi",
        "connections",
        "default_fields",
        "drained",
        "draining",
        "exchanges",
        "extensions",
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
        "requests",
        "root_path",
        "root_path_bytes",
        "start_task",
        "starting",
        "status_lines",
    )

    def __init__(
        self,
        config: Config,
        number: int,
        app: ASGIApp,
        lifespan_state: dict[str, Any],
        access_log: AccessLog | None,
        limit: ConcurrencyLimit | None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.app = app
        self.lifespan_state = lifespan_state
        self.access_log = access_log
        self.limit = limit
        self.connections: set[Kept] = set()
        self.exchanges: set[Any] = set()
        self.opening: set[asyncio.Task[None]] = set()
        self.requests = 0
        # Whether an application is being called this moment, whose exchange joins the others only when it has to wait.
        self.starting = False
        self.draining = False
        self.drained = asyncio.Event()

        self.root_path = config.root_path
        self.root_path_bytes = config.root_path.encode()
        self.asgi = {"version": "3.0", "spec_version": "2.5"}
        self.extensions: dict[str, dict[str, Any]] = {
            f"http.response.{name}": {} for name in ("pathsend", "trailers", "early_hint")
        }
        self.head_limit = config.head_limit
        self.field_limit = config.limit_request_header_fields
        self.match_head = head_pattern(number).match
        self.make_parser = PARSERS[parser_name(config.http)]
        self.start_task = task_starter(self.loop)

        self.field_lines = FieldLines()
        self.status_lines: dict[int, bytes] = {}
        self._config_fields = config_fields(config)
        self._sends_date = config.date_header and not any(name.lower() == "date" for name, _ in config.headers)
        self.default_fields = b""

        self._timeout_keep_alive = config.timeout_keep_alive
        self._timeout_request_header = config.timeout_request_header
        self.idle_deadline = 0.0
        self.head_deadline = 0.0
        self.linger_deadline = 0.0
        self._now = self.loop.time()
        self._tick_interval = TICK
        self._tick_handle: asyncio.TimerHandle | None = None
        self._renew()

    def learn_status(self, status: int) -> bytes:
        """The line of a status that is not in `status_lines` yet. Raises `ValueError` where it is none to end with."""
        if type(status) is not int or not 200 <= status <= 999:
            raise ValueError(f"invalid status in the response: {status!r}")
        line = self.status_lines[status] = status_line(status)
        return line

    def start(self) -> None:
        """Starts the ticks: twice a second the date is renewed and the connections' deadlines are looked at."""
        self._tick_handle = self.loop.call_later(self._tick_interval, self._tick)

    def stop(self) -> None:
        """Ends the ticks."""
        if self._tick_handle is not None:
            self._tick_handle.cancel()

    def _tick(self) -> None:
        late = self.loop.time() - self._now > 2 * TICK
        self._renew()
        self._tick_handle = self.loop.call_later(self._tick_interval, self._tick)
        # After a stall, what clients sent in time still waits to be read: it gets a turn before deadlines do.
        if not late:
            self.sweep(self._now)

    def begin_shutdown(self) -> None:
        """From now on every response closes its connection, and idle connections are closed."""
        self.draining = True
        self._renew()
        self._tick_interval = SHUTDOWN_TICK
        self.stop()
        self.start()
        for connection in list(self.connections):
            connection.begin_shutdown()
        self.check_drained()

    def shutdown_deadline(self, idle_deadline: float) -> float:
        """When an idle connection is closed by a shutdown, given when it would have been closed for idleness.

        One that was used a moment ago may have its next request under way, so it is kept for that moment.
        """
        now = self.loop.time()
        idle_since = idle_deadline - TICK - self._timeout_keep_alive
        return min(max(now, idle_since + IDLE_GRACE), now + IDLE_GRACE)

    def on_opened(self, task: "asyncio.Task[None]") -> None:
        """A connection that was being opened is open, or has failed to."""
        self.opening.discard(task)
        self.check_drained()

    def check_drained(self) -> None:
        """Sets `drained` when the shutdown has nothing left to wait for."""
        if self.draining and not (self.exchanges or self.connections or self.opening):
            self.drained.set()

    def sweep(self, now: float) -> None:
        """Tells every connection whose deadline is before `now`, in the loop's seconds."""
        for connection in [connection for connection in self.connections if connection.deadline <= now]:
            connection.on_deadline()

    def _renew(self) -> None:
        self._now = self.loop.time()
        # A deadline set between two ticks counts from the next one, so that none comes early.
        base = self._now + TICK
        self.idle_deadline = self._now + IDLE_GRACE if self.draining else base + self._timeout_keep_alive
        self.head_deadline = base + self._timeout_request_header
        self.linger_deadline = base + LINGER
        date = f"date: {formatdate(usegmt=True)}\r\n".encode() if self._sends_date else b""
        self.default_fields = date + self._config_fields


def config_fields(config: Config) -> bytes:
    """The lines of the server header and of the headers that are added to every response."""
    names = {name.lower() for name, _ in config.headers}
    headers = [("server", "threadserve")] if config.server_header and "server" not in names else []
    return "".join(f"{name}: {value}\r\n" for name, value in [*headers, *config.headers]).encode("latin-1")


TaskStarter = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


def task_starter(loop: asyncio.AbstractEventLoop) -> TaskStarter:
    """How a request's task is started: at once where Python can (3.12), which saves a turn of the loop."""
    if sys.version_info >= (3, 12):
        return partial(asyncio.Task, loop=loop, eager_start=True)
    return loop.create_task
