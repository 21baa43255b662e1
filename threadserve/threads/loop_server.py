"""Serving on one event loop: the application instance, its lifespan and its connections, from start to shutdown.

Every method but those named `*_threadsafe` runs on the loop's own thread, which owns the application instance, the
loop's state and, if the loop accepts for itself, its listeners. It never touches another loop's objects. It reports to
the server's thread by `on_phase`.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from heapq import nsmallest
from socket import socket

from threadserve.app.lifespan import STOPPING_KEY, Lifespan
from threadserve.errors import MailboxClosed, ThreadserveError
from threadserve.http.call_timeout import CallTimeouts
from threadserve.http.context import LoopContext, LoopSetup
from threadserve.http.registry import AppCall
from threadserve.http.task_stack import format_app_line
from threadserve.listening.accepted import AcceptedSocket
from threadserve.logging.access_log import AccessLog
from threadserve.logging.formatters import TRACE_LOG_LEVEL
from threadserve.logging.message_trace import MessageTrace
from threadserve.logging.message_trace import logger as trace_logger
from threadserve.logging.wording import format_count, join_names
from threadserve.metrics.loop_metrics import NO_COUNTS, LoopCounts, LoopMetrics
from threadserve.metrics.states import RunningCall
from threadserve.runtime.stacks import find_root_function
from threadserve.threads.app_threads import LoopShare
from threadserve.threads.callback_notify import notify_while_serving
from threadserve.threads.handover import HandoverQueue
from threadserve.threads.heartbeat import LoopHeartbeat, compute_heartbeat_interval
from threadserve.threads.loop_acceptor import LoopAcceptor
from threadserve.threads.loop_parts import build_loop_parts
from threadserve.threads.mailbox import Mailbox
from threadserve.threads.opening import ConnectionOpener
from threadserve.threads.shared_resources import SharedResources
from threadserve.tls.certificates import LoopTls
from threadserve.types import ASGIApp, LifespanState

logger = logging.getLogger("threadserve.error")

CUT_OFF_GRACE_SECONDS = 1.0
# How many calls of one loop are reported.
MAX_REPORTED_CALLS = 50
# The least time for lifespan shutdown. With it and the time for cutting off requests, the default grace period ends
# within the 30 seconds after which Kubernetes kills.
MIN_LIFESPAN_GRACE_SECONDS = 5.0


class Phase(Enum):
    """The phases of a loop's life, which it reports to the server."""

    LOADED = "loaded"
    READY = "ready"
    DRAINED = "drained"
    SHUT_DOWN = "shut down"
    TERMINATED = "abandoned"
    FAILED = "failed"
    ENDED = "ended"


OnPhase = Callable[["LoopServer", Phase, BaseException | None], None]


class LoopServer:
    """Serves on one loop. Made on the server's thread; the loop's thread then runs `main`.

    `metrics` has what the loop counts, if anything. When the loop is ready, `thread` is its thread, with the native
    `thread_id` and the outermost function `root_function`, and `heartbeat` tells whether the loop turns.
    """

    def __init__(self, shared: SharedResources, number: int, on_phase: OnPhase) -> None:
        self.number = number
        self.handover = HandoverQueue()
        self.metrics = LoopMetrics(number, shared.config.log_slow_requests) if shared.config.is_measured else None
        self.heartbeat: LoopHeartbeat | None = None
        self.thread: threading.Thread | None = None
        self.root_function = ""
        self.thread_id = 0
        self._shared = shared
        self._on_phase = on_phase
        self._mailbox = Mailbox()
        self._stop = asyncio.Event()
        # For the application to wait for. It may even set it: nothing else depends on it.
        self._stop_announced = asyncio.Event()
        self._may_start_up = asyncio.Event()
        self._lifespan: Lifespan | None = None
        self._context: LoopContext | None = None
        self._acceptor: LoopAcceptor | None = None
        self._thread_share: LoopShare | None = None
        self._main_task: asyncio.Task[None] | None = None
        self._is_closed = False
        self._is_terminated = False
        self._has_logged_cut_off = False

    # From any thread.

    def load_threadsafe(self) -> tuple[int, int]:
        """Return the numbers of requests in flight and of connections; both include those on their way to the loop."""
        context, acceptor, waiting = self._context, self._acceptor, len(self.handover)
        if context is None or acceptor is None:
            return waiting, waiting
        waiting += acceptor.waiting_threadsafe()
        registry = context.registry
        connections = len(registry.connections) + len(registry.opening)
        return len(registry.calls) + waiting, connections + waiting

    def requests_threadsafe(self) -> int:
        """Return the number of requests that the loop has begun so far."""
        return self._context.registry.requests if self._context else 0

    def ticks_threadsafe(self) -> int:
        """Return how often the loop has ticked so far: about twice a second unless something blocks it."""
        return self._context.ticker.ticks if self._context else 0

    def counts_threadsafe(self) -> LoopCounts:
        """Return what the loop has counted so far."""
        return self.metrics.read_threadsafe() if self.metrics is not None else NO_COUNTS

    def calls_threadsafe(self) -> list[RunningCall]:
        """Return the longest of the requests in flight, as far as other threads can see them."""
        calls = find_longest_running(self._context.registry.calls.copy()) if self._context else []
        return [call.to_running_call() for call in calls]

    def send_calls_threadsafe(self, send: Callable[[list[RunningCall]], object]) -> None:
        """Call `send`, on the loop's thread, with the longest of the requests in flight and where they wait."""
        self.post_threadsafe(partial(self._send_calls, send))

    def format_requests_threadsafe(self) -> list[str]:
        """Return the requests in flight as the log names them."""
        return [call.describe() for call in self._context.registry.calls.copy()] if self._context else []

    def request_wakeup_threadsafe(self) -> None:
        """Wake the loop, so that its handover queue shows how long that takes."""
        self.handover.request_wakeup()
        self.post_threadsafe(self._take_handover)

    def grant_threadsafe(self, credit: int, *, takes_busy: bool) -> None:
        """Let the loop return `credit` connections, each after its next response: see `IdleReleaser`."""
        self.post_threadsafe(partial(self._grant, credit, takes_busy))

    def release_idle_threadsafe(self) -> None:
        """Let the loop return every idle connection."""
        self.post_threadsafe(self._release_idle)

    def hand_over_threadsafe(self, connection: AcceptedSocket) -> None:
        """Hand over a connection. Raises `MailboxClosed` if the loop takes no more."""
        self.handover.put(connection)
        try:
            self._mailbox.post_threadsafe(self._take_handover)
        except MailboxClosed:
            if self.handover.withdraw(connection):
                raise

    def listen_threadsafe(self, listeners: list[socket]) -> None:
        """Let the loop accept from these sockets, which listen already; it closes them when it stops.

        A loop that dies leaves them open for its replacement.
        """
        self.post_threadsafe(partial(self._listen, listeners))

    def update_tls_threadsafe(self) -> None:
        """Let the loop use the current certificates for new connections."""
        self.post_threadsafe(self._update_tls)

    def stop_threadsafe(self) -> None:
        """Stop the loop gracefully."""
        self.post_threadsafe(self._on_stop)

    def terminate_threadsafe(self) -> None:
        """Stop the loop at once, whatever it serves."""
        self.post_threadsafe(self._terminate)

    def post_threadsafe(self, call: Callable[[], object]) -> None:
        """Run a call on the loop's thread, unless the loop has ended."""
        try:
            self._mailbox.post_threadsafe(call)
        except MailboxClosed:
            return

    # On the loop's thread.

    async def main(self, *, is_external_loop: bool = False) -> None:
        """Start, serve and shut down; report each `Phase`, or `FAILED`.

        An external loop, which is the program's own, keeps its executor and anyio's limit.
        """
        self._main_task = asyncio.current_task()
        self.root_function = find_root_function()
        self.thread = threading.current_thread()
        self.thread_id = threading.get_native_id()
        self._mailbox.open()
        if self._shared.app_threads is not None and not is_external_loop:
            self._thread_share = self._shared.app_threads.share_threadsafe(asyncio.get_running_loop())
        try:
            await self._serve()
        except ThreadserveError as error:
            self._on_phase(self, Phase.FAILED, error)
        finally:
            self.close()
            if self._is_terminated:
                self._on_phase(self, Phase.TERMINATED, None)

    async def _serve(self) -> None:
        """Load and start the application, serve until stopped, drain, and shut the application down."""
        config, loader = self._shared.config, self._shared.loader
        app = loader.load_threadsafe(self.number)
        self._shared.on_loaded()
        self._limit_anyio()
        traced = MessageTrace(app) if trace_logger.isEnabledFor(TRACE_LOG_LEVEL) else app
        lifespan = self._lifespan = self._make_lifespan(traced)
        if not await self._start_up(app, lifespan):
            return
        context, acceptor = self._start_serving(traced, lifespan.state)
        self._on_phase(self, Phase.READY, None)
        # On one loop of the process.
        callback = config.callback_notify if self.number == 1 else None
        with notify_while_serving(callback, config.timeout_notify):
            await self._until_stopped()
        stopped_at, grace = context.loop.time(), config.timeout_graceful_shutdown
        await self._drain(context, acceptor)
        self._on_phase(self, Phase.DRAINED, None)
        elapsed = context.loop.time() - stopped_at
        await lifespan.shutdown(compute_lifespan_grace(grace, elapsed) if grace is not None else None)
        self._on_phase(self, Phase.SHUT_DOWN, None)

    @property
    def _is_wsgi(self) -> bool:
        return self._shared.loader.interface == "wsgi"

    def _make_lifespan(self, app: ASGIApp) -> Lifespan:
        state = {} if self._is_wsgi else {STOPPING_KEY: self._stop_announced}
        mode = "off" if self._is_wsgi else self._shared.config.lifespan
        return Lifespan(app, mode, state, quiet=self.number > 1)

    async def _start_up(self, app: ASGIApp, lifespan: Lifespan) -> bool:
        """Start the application when it is its turn; return False if the loop was stopped before that."""
        startups = self._shared.startups.register_threadsafe(self.number, app)
        startups.schedule_threadsafe(lambda: self.post_threadsafe(self._may_start_up.set))
        self._on_phase(self, Phase.LOADED, None)
        await self._may_start_up.wait()
        if self._stop.is_set():
            return False
        with startups.watch_threadsafe(self.number, app):
            await lifespan.startup()
        self._limit_anyio()
        return True

    def _start_serving(self, app: ASGIApp, state: LifespanState) -> tuple[LoopContext, LoopAcceptor]:
        """Build what serves connections, and take what is handed over from now on."""
        shared, config, loop = self._shared, self._shared.config, asyncio.get_running_loop()
        log = AccessLog(loop, shared.access_log, config.access_log_format) if shared.access_log else None
        post, give_back = self._mailbox.post_threadsafe, shared.give_back_threadsafe
        limit, bounds = shared.limit, shared.bounds
        serves = LoopSetup(config, app, state, log, limit, post, bounds, give_back, self.metrics, self.number)
        parts = build_loop_parts(serves, self.number, websockets=not self._is_wsgi)
        context = parts.context
        context.ticker.start()
        if config.timeout_request is not None and not self._is_wsgi:
            CallTimeouts(context, config.timeout_request).start()
        make, make_resumed = parts.make_connection, parts.make_resumed
        opener = ConnectionOpener(loop, context.registry, make, make_resumed, config, self._get_tls(), self.metrics)
        acceptor = LoopAcceptor(loop, opener, self.handover)
        if context.releaser is not None:
            context.releaser.serve_again = acceptor.reopen
        self._acceptor, self._context = acceptor, context
        self.heartbeat = LoopHeartbeat(loop, compute_heartbeat_interval(config.timeout_loop_stall))
        self.heartbeat.start()
        return context, acceptor

    def _limit_anyio(self) -> None:
        if self._thread_share is not None:
            self._thread_share.limit_anyio()

    def _on_stop(self) -> None:
        self._stop.set()
        self._may_start_up.set()

    async def _until_stopped(self) -> None:
        while not self._stop.is_set():
            try:
                await self._stop.wait()
            except asyncio.CancelledError:
                if self._is_terminated or self._is_closed:
                    raise
                # A program that ends cancels every task on its loop; `Server.serve` then stops this one gracefully. An
                # application that cancels tasks of others does not stop it.
                if self._main_task is not None:
                    self._main_task.uncancel()

    async def _drain(self, context: LoopContext, acceptor: LoopAcceptor) -> None:
        """Let what is in flight end within the grace period, then cut it off."""
        self._stop_announced.set()
        await acceptor.stop_listening()
        context.begin_shutdown()
        timeout = self._shared.config.timeout_graceful_shutdown
        if not await wait_within(timeout, context.registry.drained):
            await self._cut_off(context, timeout or 0)

    async def _cut_off(self, context: LoopContext, timeout: float) -> None:
        self._log_cut_off(context, f"still running after {format_count(timeout, 'second')}")
        context.registry.cancel_opening()
        for exchange in list(context.registry.calls):
            exchange.disconnect(gone=False)
        if not await wait_within(CUT_OFF_GRACE_SECONDS, context.registry.drained):
            context.registry.terminate()
            await wait_within(CUT_OFF_GRACE_SECONDS, context.registry.drained)

    def _log_cut_off(self, context: LoopContext, when: str) -> None:
        """Log the requests that are cut off, once."""
        described = [exchange.describe() for exchange in context.registry.calls]
        if described and not self._has_logged_cut_off:
            self._has_logged_cut_off = True
            logger.error("Cut off %s %s: %s", format_count(len(described), "request"), when, join_names(described))

    def close(self) -> None:
        """Close everything, on every way out of `main`, but for the listeners, which a replacement may get.

        Also to be called when the loop was killed, and `main` with it, before the loop is run again to be closed.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._mailbox.close()
        if self._lifespan is not None:
            self._lifespan.abandon()
        context = self._context
        if context is None:
            return
        context.ticker.stop()
        if self.heartbeat is not None:
            self.heartbeat.stop()
        if context.releaser is not None:
            context.releaser.abandon()
        context.cross_thread.close()
        if self._acceptor is not None:
            self._acceptor.close()
        context.registry.cancel_opening()
        self._log_cut_off(context, "at once")
        context.registry.terminate()
        if context.access_log is not None:
            context.access_log.flush()

    def _terminate(self) -> None:
        self._is_terminated = True
        if self._main_task is not None:
            self._main_task.cancel()

    # Encryption.

    def _get_tls(self) -> LoopTls | None:
        certificates = self._shared.certificates
        return certificates.get_threadsafe(self.number) if certificates is not None else None

    def _update_tls(self) -> None:
        if self._acceptor is not None:
            self._acceptor.opener.tls = self._get_tls()

    # Taking up connections, and giving them back.

    def _take_handover(self) -> None:
        if self._acceptor is not None:
            self._acceptor.take_handover()

    def _grant(self, credit: int, takes_busy: bool) -> None:
        if self._context is not None and self._context.releaser is not None:
            self._context.releaser.grant(credit, takes_busy)

    def _release_idle(self) -> None:
        if self._context is not None and self._context.releaser is not None:
            self._context.releaser.release_idle()

    def _send_calls(self, send: Callable[[list[RunningCall]], object]) -> None:
        calls = find_longest_running(self._context.registry.calls) if self._context is not None else []
        send([call.to_running_call()._replace(place=format_app_line(call.task)) for call in calls])

    def _listen(self, listeners: list[socket]) -> None:
        if self._acceptor is not None:
            self._acceptor.listen(listeners)


def find_longest_running(calls: Iterable[AppCall]) -> list[AppCall]:
    """Return the longest running calls, `MAX_REPORTED_CALLS` at most; WebSockets last, which are meant to go on."""
    return nsmallest(MAX_REPORTED_CALLS, calls, key=lambda call: (call.scope["type"] == "websocket", call.started_at))


def compute_lifespan_grace(grace: float, elapsed: float) -> float:
    """Return the time left for lifespan shutdown, `elapsed` seconds after the signal to stop."""
    return max(grace - elapsed, MIN_LIFESPAN_GRACE_SECONDS)


async def wait_within(seconds: float | None, event: asyncio.Event) -> bool:
    """Wait for an event, `seconds` at most unless that is None; return whether it was set in time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True
