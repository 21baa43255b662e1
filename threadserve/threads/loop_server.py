"""Serving on one event loop: the app instance, its lifespan, its connections, from start-up to shutdown.

Everything but the methods named `*_threadsafe` runs on the loop's own thread, which owns the app instance, the loop
state and, where the loop accepts for itself, its listeners. It never touches another loop's objects; what it has to say
to the server's thread goes out through `report`.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from heapq import nsmallest
from socket import socket
from typing import Any, cast

from threadserve.app.lifespan import STOPPING_KEY, Lifespan
from threadserve.app.loading import AppLoader
from threadserve.app.startups import StartupCoordinator
from threadserve.config import Config
from threadserve.errors import MailboxClosed, ThreadserveError
from threadserve.http.bounds import Bounds
from threadserve.http.call_timeout import CallTimeouts
from threadserve.http.concurrency import ConcurrencyLimit
from threadserve.http.context import LoopContext, LoopSetup
from threadserve.http.idle_release import GiveBack
from threadserve.http.task_stack import format_app_line
from threadserve.logging.access_log import AccessLog, AccessLogWriter
from threadserve.logging.formatters import TRACE_LOG_LEVEL
from threadserve.logging.message_trace import MessageTrace
from threadserve.logging.message_trace import logger as trace_logger
from threadserve.logging.wording import format_count, join_names
from threadserve.metrics.loop_metrics import NO_COUNTS, LoopCounts, LoopMetrics
from threadserve.metrics.states import RunningCall
from threadserve.threads.app_threads import AppThreads, LoopShare
from threadserve.threads.distribution import HandOver
from threadserve.threads.intake import Intake
from threadserve.threads.loop_parts import serving_loop
from threadserve.threads.mailbox import Mailbox
from threadserve.threads.notifying import notifying
from threadserve.threads.opening import Opener
from threadserve.threads.pulse import Pulse, pulse_interval
from threadserve.threads.stacks import root_of_this_thread
from threadserve.tls.certificates import Certificates, LoopTls
from threadserve.types import ASGIApp

logger = logging.getLogger("threadserve.error")

CUT_OFF_GRACE = 1.0
# How many calls of one loop are told of.
MOST_TOLD = 50
# The least that is left of the grace for lifespan shutdown, in seconds: with that and what cutting off takes, the
# default grace ends within the 30 seconds after which Kubernetes kills.
LIFESPAN_GRACE = 5.0


class Phase(Enum):
    """How far a loop has come, as it is reported to the server."""

    LOADED = "loaded"
    READY = "ready"
    DRAINED = "drained"
    SHUT_DOWN = "shut down"
    ABANDONED = "abandoned"
    FAILED = "failed"
    ENDED = "ended"


@dataclass(frozen=True)
class Shared:
    """What all loops are made with. Every part of it may be used from any thread.

    `on_loaded` is called on each loop's thread when the application is loaded. `give_back_threadsafe` takes connections
    that are idle; without it they stay with their loops. Without `app_threads` each loop has threads of its own for
    what blocks.
    """

    config: Config
    source: AppLoader
    start_ups: StartupCoordinator
    access_log: AccessLogWriter | None
    limit: ConcurrencyLimit | None
    certificates: Certificates | None
    bounds: Bounds
    on_loaded: Callable[[], object]
    give_back_threadsafe: GiveBack | None = None
    app_threads: AppThreads | None = None


Report = Callable[["LoopServer", Phase, BaseException | None], None]


class LoopServer:
    """Serves on one loop. Made by the server's thread; `main` is then run by the loop's thread.

    `metrics` is what the loop counts, if anything, and `thread` the one that runs it, with the native `thread_id` and
    the function that it has begun with; `pulse` tells whether the loop turns. It has these when it is ready.
    """

    def __init__(self, shared: Shared, number: int, report: Report) -> None:
        self.number = number
        self.handed = HandOver()
        self.metrics = LoopMetrics(number, shared.config.log_slow_requests) if shared.config.is_measured else None
        self.pulse: Pulse | None = None
        self.thread: threading.Thread | None = None
        self.thread_root = ""
        self.thread_id = 0
        self._shared = shared
        self._report = report
        self._mailbox = Mailbox()
        self._stop = asyncio.Event()
        # The application's to wait for, and perhaps to set, which nobody else minds.
        self._is_stopping = asyncio.Event()
        self._may_start_up = asyncio.Event()
        self._lifespan: Lifespan | None = None
        self._context: LoopContext | None = None
        self._intake: Intake | None = None
        self._share: LoopShare | None = None
        self._main_task: asyncio.Task[None] | None = None
        self._released = False
        self._abandoned = False
        self._has_told = False

    # From any thread.

    def load_threadsafe(self) -> tuple[int, int]:
        """Requests in flight and connections; both include the connections that are on their way to the loop."""
        context, intake, handed = self._context, self._intake, len(self.handed)
        if context is None or intake is None:
            return handed, handed
        handed += intake.waiting_threadsafe()
        registry = context.registry
        connections = len(registry.connections) + len(registry.opening)
        return len(registry.calls) + handed, connections + handed

    def requests_threadsafe(self) -> int:
        """How many requests the loop has taken up so far."""
        return self._context.registry.requests if self._context else 0

    def ticks_threadsafe(self) -> int:
        """How often the loop has ticked so far, about twice a second while nothing blocks it."""
        return self._context.ticker.ticks if self._context else 0

    def counts_threadsafe(self) -> LoopCounts:
        """What the loop has counted so far."""
        return self.metrics.read_threadsafe() if self.metrics is not None else NO_COUNTS

    def calls_threadsafe(self) -> list[RunningCall]:
        """The first of the requests in flight, as far as other threads can see them."""
        return (
            [call.to_running_call() for call in first_of(self._context.registry.calls.copy())] if self._context else []
        )

    def tell_calls_threadsafe(self, tell: Callable[[list[RunningCall]], object]) -> None:
        """Has the loop tell of the first of the requests in flight, and of where each of them waits."""
        self.post_threadsafe(partial(self._tell_calls, tell))

    def described_threadsafe(self) -> list[str]:
        """The requests in flight, as the log calls them."""
        return [call.describe() for call in self._context.registry.calls.copy()] if self._context else []

    def ask_for_turn_threadsafe(self) -> None:
        """Has the loop show that it turns, by `handed`."""
        self.handed.ask()
        self.post_threadsafe(self._take_handed)

    def grant_threadsafe(self, credit: int, *, takes_busy: bool) -> None:
        """Has so many connections given back, each after its next response: see `IdleReleaser`."""
        self.post_threadsafe(partial(self._grant, credit, takes_busy))

    def release_idle_threadsafe(self) -> None:
        """Has every connection given back that is idle."""
        self.post_threadsafe(self._release_idle)

    def hand_over_threadsafe(self, connection: socket) -> None:
        """Gives the loop a connection. Raises `MailboxClosed` when it takes none."""
        self.handed.give(connection)
        try:
            self._mailbox.post_threadsafe(self._take_handed)
        except MailboxClosed:
            if self.handed.take_back(connection):
                raise

    def listen_threadsafe(self, listeners: list[socket]) -> None:
        """Has the loop accept from these sockets, which listen already; it closes them when it stops.

        A loop that has died leaves them alone: they are for its successor.
        """
        self.post_threadsafe(partial(self._listen, listeners))

    def renew_tls_threadsafe(self) -> None:
        """Has new connections encrypted with what the certificates are now."""
        self.post_threadsafe(self._renew_tls)

    def stop_threadsafe(self) -> None:
        """Has the loop finish what it serves, and end."""
        self.post_threadsafe(self._on_stop)

    def abandon_threadsafe(self) -> None:
        """Has the loop end at once, whatever it serves."""
        self.post_threadsafe(self._abandon)

    def post_threadsafe(self, call: Callable[[], object]) -> None:
        """Has the loop make a call, unless it has ended: then nobody is left to make it for."""
        try:
            self._mailbox.post_threadsafe(call)
        except MailboxClosed:
            return

    # On the loop's thread.

    async def main(self, *, is_guest: bool = False) -> None:
        """Start-up, serving and shutdown; reports each `Phase` on the way, or `FAILED`.

        A guest on the program's loop leaves that as it is.
        """
        self._main_task = asyncio.current_task()
        self.thread_root = root_of_this_thread()
        self.thread = threading.current_thread()
        self.thread_id = threading.get_native_id()
        self._mailbox.open()
        if self._shared.app_threads is not None and not is_guest:
            self._share = self._shared.app_threads.share_threadsafe(asyncio.get_running_loop())
        try:
            await self._serve()
        except ThreadserveError as error:
            self._report(self, Phase.FAILED, error)
        finally:
            self.release()
            if self._abandoned:
                self._report(self, Phase.ABANDONED, None)

    async def _serve(self) -> None:
        shared = self._shared
        app = shared.source.load_threadsafe(self.number)
        shared.on_loaded()
        self._limit_anyio()
        is_wsgi = shared.source.interface == "wsgi"
        traced = MessageTrace(app) if trace_logger.isEnabledFor(TRACE_LOG_LEVEL) else app
        state = {} if is_wsgi else {STOPPING_KEY: self._is_stopping}
        lifespan = Lifespan(traced, "off" if is_wsgi else shared.config.lifespan, state, quiet=self.number > 1)
        self._lifespan = lifespan
        if not await self._start_up(app, lifespan):
            return
        writer = shared.access_log
        log = AccessLog(asyncio.get_running_loop(), writer, shared.config.access_log_format) if writer else None
        post = self._mailbox.post_threadsafe
        give_back = shared.give_back_threadsafe
        limit, bounds, state = shared.limit, shared.bounds, lifespan.state
        serves = LoopSetup(shared.config, traced, state, log, limit, post, bounds, give_back, self.metrics, self.number)
        serving = serving_loop(serves, self.number, websockets=not is_wsgi)
        context = serving.context
        context.ticker.start()
        if shared.config.timeout_request is not None and not is_wsgi:
            CallTimeouts(context, shared.config.timeout_request).start()
        make, make_again = serving.make_connection, serving.make_again
        opener = Opener(context.loop, context.registry, make, make_again, shared.config, self._tls(), self.metrics)
        self._intake = intake = Intake(context.loop, opener, self.handed)
        if context.releaser is not None:
            context.releaser.serve_again = intake.take_back
        self._context = context
        self.pulse = Pulse(context.loop, pulse_interval(shared.config.timeout_loop_stall))
        self.pulse.start()
        self._report(self, Phase.READY, None)
        # Once in a process.
        callback = shared.config.callback_notify if self.number == 1 else None
        with notifying(callback, shared.config.timeout_notify):
            await self._until_stopped()
        stopped_at, grace = context.loop.time(), shared.config.timeout_graceful_shutdown
        await self._drain(context, intake)
        self._report(self, Phase.DRAINED, None)
        elapsed = context.loop.time() - stopped_at
        await lifespan.shutdown(lifespan_grace(grace, elapsed) if grace is not None else None)
        self._report(self, Phase.SHUT_DOWN, None)

    async def _start_up(self, app: ASGIApp, lifespan: Lifespan) -> bool:
        """Has the application start up when its turn comes; returns whether it has, and not been stopped before."""
        start_ups = self._shared.start_ups.register_threadsafe(self.number, app)
        start_ups.schedule_threadsafe(lambda: self.post_threadsafe(self._may_start_up.set))
        self._report(self, Phase.LOADED, None)
        await self._may_start_up.wait()
        if self._stop.is_set():
            return False
        with start_ups.watch_threadsafe(self.number, app):
            await lifespan.startup()
        self._limit_anyio()
        return True

    def _limit_anyio(self) -> None:
        if self._share is not None:
            self._share.limit_anyio()

    def _on_stop(self) -> None:
        self._stop.set()
        self._may_start_up.set()

    async def _until_stopped(self) -> None:
        while not self._stop.is_set():
            try:
                await self._stop.wait()
            except asyncio.CancelledError:
                if self._abandoned or self._released:
                    raise
                # A program that ends cancels every task on its loop, and with `Server.serve` has this one stopped in
                # order; an application that cancels tasks which are not its own stops nobody.
                cast("asyncio.Task[None]", self._main_task).uncancel()

    async def _drain(self, context: LoopContext, intake: Intake) -> None:
        """Shuts the connections down in order: what is in flight may end, until the grace is over."""
        self._is_stopping.set()
        await intake.stop_listening()
        context.begin_shutdown()
        timeout = self._shared.config.timeout_graceful_shutdown
        if not await within(timeout, context.registry.drained):
            await self._cut_off(context, timeout or 0)

    async def _cut_off(self, context: LoopContext, timeout: float) -> None:
        self._tell_cut_off(context, f"still running after {format_count(timeout, 'second')}")
        context.registry.cancel_opening()
        for exchange in list(context.registry.calls):
            exchange.disconnect(gone=False)
        if not await within(CUT_OFF_GRACE, context.registry.drained):
            context.registry.terminate()
            await within(CUT_OFF_GRACE, context.registry.drained)

    def _tell_cut_off(self, context: LoopContext, when: str) -> None:
        """Names the requests that do not come to their end, once."""
        described = [exchange.describe() for exchange in context.registry.calls]
        if described and not self._has_told:
            self._has_told = True
            logger.error("Cut off %s %s: %s", format_count(len(described), "request"), when, join_names(described))

    def release(self) -> None:
        """Leaves nothing open, on every path out of `main`; the listeners are the server's to give to a successor.

        Also to be called when the loop was killed and `main` with it, before the loop is run again to be closed.
        """
        if self._released:
            return
        self._released = True
        self._mailbox.close()
        if self._lifespan is not None:
            self._lifespan.abandon()
        context = self._context
        if context is None:
            return
        context.ticker.stop()
        if self.pulse is not None:
            self.pulse.stop()
        if context.releaser is not None:
            context.releaser.abandon()
        context.cross_thread.close()
        if self._intake is not None:
            self._intake.close()
        context.registry.cancel_opening()
        self._tell_cut_off(context, "at once")
        context.registry.terminate()
        if context.access_log is not None:
            context.access_log.flush()

    def _abandon(self) -> None:
        self._abandoned = True
        if self._main_task is not None:
            self._main_task.cancel()

    # Encryption.

    def _tls(self) -> LoopTls | None:
        certificates = self._shared.certificates
        return certificates.of_loop_threadsafe(self.number) if certificates is not None else None

    def _renew_tls(self) -> None:
        if self._intake is not None:
            self._intake.opener.tls = self._tls()

    # Taking up connections, and giving them back.

    def _take_handed(self) -> None:
        if self._intake is not None:
            self._intake.take_handed()

    def _grant(self, credit: int, takes_busy: bool) -> None:
        if self._context is not None and self._context.releaser is not None:
            self._context.releaser.grant(credit, takes_busy)

    def _release_idle(self) -> None:
        if self._context is not None and self._context.releaser is not None:
            self._context.releaser.release_idle()

    def _tell_calls(self, tell: Callable[[list[RunningCall]], object]) -> None:
        calls = first_of(self._context.registry.calls) if self._context is not None else []
        tell([call.to_running_call()._replace(place=format_app_line(call.task)) for call in calls])

    def _listen(self, listeners: list[socket]) -> None:
        if self._intake is not None:
            self._intake.listen(listeners)


def first_of(calls: Iterable[Any]) -> list[Any]:
    """The calls that have gone on for longest, as many as are told of; WebSockets last, which are meant to go on."""
    return nsmallest(MOST_TOLD, calls, key=lambda call: (call.scope["type"] == "websocket", call.started_at))


def lifespan_grace(grace: float, elapsed: float) -> float:
    """How many seconds lifespan shutdown may take, so many after the signal to stop: what is left, or the least."""
    return max(grace - elapsed, LIFESPAN_GRACE)


async def within(seconds: float | None, event: asyncio.Event) -> bool:
    """Waits for an event, with None as long as it takes; returns whether it was set in time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True
