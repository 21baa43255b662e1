"""The story of one process: start, serve, drain, stop.

Runs on the server's thread: one of its own where a loop has the thread that called, which is so with one thread and
where the server is embedded in a running loop, and else that thread. It owns the acceptor, the group of loops, the
listeners and the access-log writer; it never runs application code and never touches a connection. The flags and
methods that other threads may use are named.
"""

import logging
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any

from threadserve.admin.process import ProcessSource, ProcessView
from threadserve.admin.reporter import StateReporter
from threadserve.admin.server import AdminServer, listen_for_admin
from threadserve.app.loading import AppLoader
from threadserve.app.startups import StartupCoordinator
from threadserve.banner import log_start
from threadserve.config import Config
from threadserve.errors import LoopsStalled
from threadserve.http.bounds import Bounds
from threadserve.http.concurrency import ConcurrencyLimit
from threadserve.listening import systemd
from threadserve.listening.listeners import open_listeners
from threadserve.listening.tcp import Listeners, enable_port_sharing, make_bind_error, open_loop_listeners
from threadserve.logging.access_log import AccessLogWriter
from threadserve.logging.formatters import log_emphasised
from threadserve.logging.reopening import reopen_log_files
from threadserve.logging.wording import format_count
from threadserve.metrics.states import ServerPhase
from threadserve.runtime.exiting import exit_now
from threadserve.runtime.gil import GilGuard
from threadserve.runtime.process_limits import ProcessLimits
from threadserve.runtime.signals import STOP_SIGNALS, UPKEEP_SIGNALS
from threadserve.threads.acceptor import Acceptor
from threadserve.threads.app_threads import app_threads_for
from threadserve.threads.balancing import Balancer
from threadserve.threads.distribution import chooser
from threadserve.threads.group import LoopGroup, MakeHost
from threadserve.threads.idle import CAN_WATCH, IdleConnections
from threadserve.threads.loop_server import Shared
from threadserve.threads.watchdog import Watchdog
from threadserve.tls.certificates import certificates_for

logger = logging.getLogger("threadserve.error")

TICK = 1.0
POOL_GRACE = 1.0


class StopFlags:
    """How the server is asked to end. Any thread sets them, and wakes the server, which reads them."""

    should_exit = False
    force_exit = False


class Observer:
    """Whoever follows a server's life; this one takes no interest. Called on the server's thread."""

    # Whether another process speaks for the server, and decides about its end.
    is_supervised = False
    # The connection by which that process asks how the server is, to answer at the admin address itself.
    status_socket: socket.socket | None = None
    stop_signals: tuple[int, ...] = STOP_SIGNALS
    upkeep_signals: tuple[int, ...] = UPKEEP_SIGNALS
    # How often, in seconds, to call `on_tick` while the server serves.
    interval = TICK

    def on_serving(self) -> None:
        """Connections are accepted from now on."""

    def on_tick(self, *, has_moved: bool) -> None:
        """The interval has passed, or a part of it, in which the server's thread has not been stuck.

        `has_moved` tells whether the loops have not been either, one of them at least.
        """

    def on_limit(self) -> bool:
        """The process has served what it is to serve; returns whether the server is to stop. May be called again."""
        return True


class Serving:
    """One run of a server. The public attributes may be read from any thread.

    `on_loaded` is called on each loop's thread when it has the application, `on_ready` once, when the application is
    ready on every loop and before the first connection is accepted, and `on_started` once the server serves. Raises
    `ThreadserveError` when a setting or an address cannot be used.
    """

    def __init__(
        self,
        config: Config,
        make_host: MakeHost,
        sockets: Listeners | None,
        flags: StopFlags,
        observer: Observer,
        bounds: Bounds,
    ) -> None:
        self.started = False
        self.addresses: list[Any] = []
        self.on_loaded: Callable[[], object] = nothing
        self.on_ready: Callable[[], object] = nothing
        self.on_started: Callable[[], object] = nothing
        thread_count = config.thread_count
        self._certificates = certificates_for(config, thread_count)
        self._upkeep: deque[int] = deque()
        self._is_stopping = False
        self._stops_at = inf
        self.listeners = open_listeners(config) if sockets is None else adopted(sockets)
        self.admin_listeners = [] if observer.status_socket is not None else listen_for_admin(config, self.listeners)
        self._config = config
        self._flags = flags
        self._observer = observer
        self._guard = GilGuard()
        self._log_writer = AccessLogWriter(config.access_log_format)
        self._source = AppLoader(config)
        watches = config.release_idle and self._certificates is None and CAN_WATCH
        timeouts = config.timeout_keep_alive, config.timeout_request_header
        idle = IdleConnections(*timeouts, bounds.idle_grace_seconds) if watches else None
        balancer = Balancer() if watches and config.distribute == "least-busy" and thread_count > 1 else None
        self._acceptor = Acceptor(chooser(config.distribute), idle, balancer)
        self._app_threads = app_threads_for(config)
        shared = Shared(
            config,
            self._source,
            StartupCoordinator(config),
            self._log_writer if config.access_log else None,
            ConcurrencyLimit(config.limit_concurrency) if config.limit_concurrency else None,
            self._certificates,
            bounds,
            lambda: self.on_loaded(),
            self._acceptor.returned.give_threadsafe if watches else None,
            self._app_threads,
        )
        self._group = LoopGroup(shared, thread_count, make_host, self._acceptor)
        stall, exit_after = config.timeout_loop_stall, config.timeout_loop_exit
        loops = self._group.servers_threadsafe
        self._watchdog = Watchdog(loops, stall, exit_after, self._end_stalled) if stall or exit_after else None
        self.view = ProcessView(config, self._phase, self._group, self._acceptor, self._source, self._watchdog)
        self._admin: AdminServer | StateReporter | None = None
        if observer.status_socket is not None:
            # The supervisor answers for all its processes, and asks each of them.
            self._admin = StateReporter(observer.status_socket, self.view)
        elif self.admin_listeners:
            self._admin = AdminServer(self.admin_listeners, ProcessSource(self.view))

    def import_threadsafe(self) -> None:
        """Imports the application on the calling thread. What is wrong with it is raised when a loop loads it."""
        self._source.import_threadsafe()

    @property
    def has_cut_off_start(self) -> bool:
        """Whether it has ended without waiting for the application's start-up to end."""
        return self._group.has_cut_off_start

    def wake_threadsafe(self) -> None:
        """Has the flags looked at now."""
        self._acceptor.wake_threadsafe()

    def look_after_threadsafe(self, number: int) -> None:
        """Has done what one of the signals in `UPKEEP_SIGNALS` asks for, once the server serves."""
        self._upkeep.append(number)
        self.wake_threadsafe()

    def run(self) -> bool:
        """Serves to the end. Returns whether every loop ended; raises `ThreadserveError` for a failure."""
        self._guard.install()
        self._log_writer.start()
        if self._admin is not None:
            self.view.problems.install()
            self._admin.start()
        if self._watchdog is not None:
            self._watchdog.start()
        try:
            self._start()
            self._watch()
        finally:
            ended = self._stop()
        if self._group.failure is not None:
            raise self._group.failure
        if self.started:
            log_emphasised(logger, "Finished server process [%d]", os.getpid(), fg="cyan")
        return ended

    def _start(self) -> None:
        """Starts the loops, and listens once the application is ready on every one of them."""
        self._group.start()
        while not (self._group.ready or self._group.failure or self._flags.should_exit):
            self._acceptor.step(TICK)
            self._group.check()
            self._give_sign_of_life()
        if self._group.ready:
            self.on_ready()
            self._listen()
            self.addresses = [listener.getsockname() for listener in self.listeners]
            self._guard.check()
            log_emphasised(logger, "Started server process [%d]", os.getpid(), fg="cyan")
            if not self._observer.is_supervised:
                log_start(self._config, self._source, self.listeners)
                systemd.notify("READY=1")
            self.started = True
            self._observer.on_serving()
            self.on_started()

    def _listen(self) -> None:
        for listener in self.listeners:
            start_listening(listener, self._config.backlog)
        per_loop = open_loop_listeners(self.listeners, self._config.thread_count, self._config.distribute)
        for siblings in per_loop[1:]:
            for sibling in siblings:
                start_listening(sibling, self._config.backlog)
        if per_loop:
            self._group.listen(per_loop)
        else:
            self._acceptor.listen(self.listeners)

    def _phase(self) -> ServerPhase:
        """How far the server has come; read on any thread."""
        if self._is_stopping:
            return ServerPhase.STOPPING
        if not self.started:
            return ServerPhase.STARTING
        return ServerPhase.DRAINING if self._flags.should_exit else ServerPhase.SERVING

    def _watch(self) -> None:
        """Accepts, and looks after the loops, until there is a reason to stop. Raises `ThreadsStuck`."""
        limits = ProcessLimits(self._config, self._group.requests)
        interval = self._observer.interval
        pause = min(interval, TICK / 10) if limits.requests else interval
        next_look, next_sign = time.monotonic() + TICK, time.monotonic() + interval
        while not self._is_to_stop():
            self._acceptor.step(min(pause, max(0.0, self._stops_at - time.monotonic())))
            self._group.check()
            while self._upkeep:
                self._look_after(self._upkeep.popleft())
            if time.monotonic() >= next_sign:
                next_sign = time.monotonic() + interval
                self._give_sign_of_life()
            is_due = time.monotonic() >= next_look
            is_reached = limits.check(with_memory=is_due)
            if is_reached and not self._flags.should_exit and self._observer.on_limit():
                return
            self._source.check()
            if is_due:
                next_look = time.monotonic() + TICK
                self._guard.check()
                self._look_at_certificates()

    def _is_to_stop(self) -> bool:
        """Whether to stop now: with `--shutdown-delay` that is some time after it was asked for."""
        if not self._flags.should_exit or self._flags.force_exit or self._group.failure:
            return self._flags.should_exit or self._group.failure is not None
        if self._stops_at == inf:
            # Of several processes, the supervisor's.
            delay = 0 if self._observer.is_supervised else self._config.shutdown_delay
            self._stops_at = time.monotonic() + delay
            if delay:
                logger.info("Shutting down in %s. (CTRL+C to force quit)", format_count(delay, "second"))
        return time.monotonic() >= self._stops_at

    def _give_sign_of_life(self) -> None:
        has_moved = self._group.has_moved()
        self._observer.on_tick(has_moved=has_moved)
        if has_moved and not self._observer.is_supervised:
            systemd.notify_watchdog()

    def _look_after(self, number: int) -> None:
        if not self._observer.is_supervised:
            logger.info("Received %s.", signal.Signals(number).name)
        reopen_log_files()
        if number == signal.SIGHUP and self._certificates is not None and self._certificates.reload():
            self._group.renew_tls()

    def _look_at_certificates(self) -> None:
        if self._certificates is not None and self._certificates.reload_if_changed():
            self._group.renew_tls()

    def _stop(self) -> bool:
        """Stops accepting, lets the loops finish, and closes what is left. Returns whether every loop ended."""
        self._is_stopping = True
        if self._group.failure is None:
            logger.info("Shutting down")
        if not self._observer.is_supervised:
            systemd.notify("STOPPING=1")
        self._acceptor.stop_listening()
        ended = self._group.stop(self._is_forced)
        ended = self._source.stop(POOL_GRACE) and ended
        if self._app_threads is not None:
            # A loop that has not ended may wait for its calls for ever.
            ended = self._app_threads.stop(POOL_GRACE if ended else 0) and ended
        self._acceptor.close()
        for listener in self.listeners:
            listener.close()
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._admin is not None:
            self._admin.stop()
        self.view.problems.uninstall()
        self._guard.uninstall()
        self._log_writer.stop()
        return ended

    def _end_stalled(self) -> None:
        """Ends the process, in which no loop turns any more. Called on the watchdog's thread."""
        error = LoopsStalled(
            f"no loop thread has turned for {format_count(self._config.timeout_loop_exit or 0, 'second')}"
        )
        logger.critical("%s: terminating process", error)
        exit_now(error.exit_code, clean=False)

    def _is_forced(self) -> bool:
        """Whether to wait no longer for loops that stop. They are alive as long as this is asked."""
        self._give_sign_of_life()
        return self._flags.force_exit


def nothing() -> None:
    """What is done where nobody asks for anything."""


def adopted(sockets: Listeners) -> Listeners:
    """Sockets that the program bound, ready to be polled."""
    for listener in sockets:
        listener.setblocking(False)
    return list(sockets)


def start_listening(listener: socket.socket, backlog: int) -> None:
    """Lets clients connect, and only then other sockets share the port. Raises `BindError` if one has it already."""
    try:
        listener.listen(backlog)
    except OSError as error:
        raise make_bind_error(listener.getsockname(), error) from error
    enable_port_sharing(listener)
