"""One run of a server, in one process: start, serve, drain, stop.

Runs on the server's thread: the calling thread, or one of its own if a loop runs on the calling thread, as with one
loop thread and in an embedded server. It owns the acceptor, the group of loops, the listeners and the access-log
writer. It never runs application code and never touches a connection. Methods and flags for other threads are named so.
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
from threadserve.banner import log_server_start
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
from threadserve.observer import Observer
from threadserve.runtime.exiting import exit_now
from threadserve.runtime.gil import GilGuard
from threadserve.runtime.process_limits import ProcessLimits
from threadserve.threads.acceptor import Acceptor
from threadserve.threads.app_threads import make_app_threads
from threadserve.threads.balancing import Balancer
from threadserve.threads.distribution import make_distributor
from threadserve.threads.idle_connections import HAS_EPOLL, IdleConnections
from threadserve.threads.loop_group import LoopGroup, MakeRunner
from threadserve.threads.shared_resources import SharedResources
from threadserve.threads.watchdog import LoopWatchdog
from threadserve.tls.certificates import load_certificates

logger = logging.getLogger("threadserve.error")

CHECK_INTERVAL_SECONDS = 1.0
POOL_GRACE_SECONDS = 1.0


class StopFlags:
    """The requests to stop. Any thread sets them and wakes the server, which reads them."""

    should_exit = False
    force_exit = False


class ServerRun:
    """One run of a server. Any thread may read the public attributes.

    `on_loaded` is called on each loop's thread when it has loaded the application, `on_ready` once, before the first
    connection is accepted, and `on_started` once the server serves. Raises `ThreadserveError` if a setting or an
    address cannot be used.
    """

    def __init__(
        self,
        config: Config,
        make_runner: MakeRunner,
        sockets: Listeners | None,
        flags: StopFlags,
        observer: Observer,
        bounds: Bounds,
    ) -> None:
        self.started = False
        self.addresses: list[Any] = []
        self.on_loaded: Callable[[], object] = noop
        self.on_ready: Callable[[], object] = noop
        self.on_started: Callable[[], object] = noop
        self._config = config
        self._flags = flags
        self._observer = observer
        self._upkeep: deque[int] = deque()
        self._is_stopping = False
        self._stop_at = inf
        self._certificates = load_certificates(config, config.thread_count)
        self.listeners = open_listeners(config) if sockets is None else set_nonblocking(sockets)
        self.admin_listeners = [] if observer.status_socket is not None else listen_for_admin(config, self.listeners)
        self._gil_guard = GilGuard()
        self._log_writer = AccessLogWriter(config.access_log_format)
        self._loader = AppLoader(config)
        self._app_threads = make_app_threads(config)
        watches_idle = config.release_idle and self._certificates is None and HAS_EPOLL
        self._acceptor = make_acceptor(config, bounds, watches_idle=watches_idle)
        shared = SharedResources(
            config=config,
            loader=self._loader,
            startups=StartupCoordinator(config),
            access_log=self._log_writer if config.access_log else None,
            limit=ConcurrencyLimit(config.limit_concurrency) if config.limit_concurrency else None,
            certificates=self._certificates,
            bounds=bounds,
            on_loaded=lambda: self.on_loaded(),
            give_back_threadsafe=self._acceptor.return_queue.put_threadsafe if watches_idle else None,
            app_threads=self._app_threads,
        )
        self._group = LoopGroup(shared, config.thread_count, make_runner, self._acceptor)
        self._watchdog = self._make_watchdog()
        self.view = ProcessView(config, self._phase, self._group, self._acceptor, self._loader, self._watchdog)
        self._admin = self._make_admin()

    def _make_watchdog(self) -> LoopWatchdog | None:
        stall, exit_after = self._config.timeout_loop_stall, self._config.timeout_loop_exit
        if not (stall or exit_after):
            return None
        return LoopWatchdog(self._group.servers_threadsafe, stall, exit_after, self._exit_stalled)

    def _make_admin(self) -> AdminServer | StateReporter | None:
        if self._observer.status_socket is not None:
            # The supervisor has the admin address, and asks each of its processes.
            return StateReporter(self._observer.status_socket, self.view)
        return AdminServer(self.admin_listeners, ProcessSource(self.view)) if self.admin_listeners else None

    def import_threadsafe(self) -> None:
        """Import the application on the calling thread. A loop that loads it raises what is wrong with it."""
        self._loader.import_threadsafe()

    @property
    def has_cut_off_start(self) -> bool:
        """True if it has ended without waiting for the end of the application's start-up."""
        return self._group.has_cut_off_start

    def wake_threadsafe(self) -> None:
        """Wake the server's thread, which reads the flags."""
        self._acceptor.wake_threadsafe()

    def handle_upkeep_threadsafe(self, number: int) -> None:
        """Act on a signal of `UPKEEP_SIGNALS` once the server serves."""
        self._upkeep.append(number)
        self.wake_threadsafe()

    def run(self) -> bool:
        """Serve to the end. Return whether every loop ended; raise `ThreadserveError` for a failure."""
        self._gil_guard.install()
        self._log_writer.start()
        if self._admin is not None:
            self.view.problems.install()
            self._admin.start()
        if self._watchdog is not None:
            self._watchdog.start()
        try:
            self._start()
            self._serve()
        finally:
            ended = self._stop()
        if self._group.failure is not None:
            raise self._group.failure
        if self.started:
            log_emphasised(logger, "Finished server process [%d]", os.getpid(), fg="cyan")
        return ended

    def _start(self) -> None:
        """Start the loops, and listen once the application is ready on each of them."""
        self._group.start()
        while not (self._group.is_ready or self._group.failure or self._flags.should_exit):
            self._acceptor.step(CHECK_INTERVAL_SECONDS)
            self._group.check()
            self._send_heartbeat()
        if self._group.is_ready:
            self.on_ready()
            self._listen()
            self.addresses = [listener.getsockname() for listener in self.listeners]
            self._gil_guard.check()
            log_emphasised(logger, "Started server process [%d]", os.getpid(), fg="cyan")
            if not self._observer.is_supervised:
                log_server_start(self._config, self._loader, self.listeners)
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
        """Return the phase, for any thread."""
        if self._is_stopping:
            return ServerPhase.STOPPING
        if not self.started:
            return ServerPhase.STARTING
        return ServerPhase.DRAINING if self._flags.should_exit else ServerPhase.SERVING

    def _serve(self) -> None:
        """Accept, and check on the loops, until there is a reason to stop. Raises `ThreadsStuck`."""
        limits = ProcessLimits(self._config, self._group.requests)
        interval = self._observer.interval
        pause = min(interval, CHECK_INTERVAL_SECONDS / 10) if limits.requests else interval
        next_check, next_heartbeat = time.monotonic() + CHECK_INTERVAL_SECONDS, time.monotonic() + interval
        while not self._is_stop_due():
            self._acceptor.step(min(pause, max(0.0, self._stop_at - time.monotonic())))
            self._group.check()
            while self._upkeep:
                self._handle_upkeep(self._upkeep.popleft())
            if time.monotonic() >= next_heartbeat:
                next_heartbeat = time.monotonic() + interval
                self._send_heartbeat()
            is_due = time.monotonic() >= next_check
            is_reached = limits.check(with_memory=is_due)
            if is_reached and not self._flags.should_exit and self._observer.on_limit():
                return
            self._loader.check()
            if is_due:
                next_check = time.monotonic() + CHECK_INTERVAL_SECONDS
                self._gil_guard.check()
                self._reload_changed_certificates()

    def _is_stop_due(self) -> bool:
        """Return whether to stop now: `--shutdown-delay` seconds after a graceful stop was requested."""
        if not self._flags.should_exit or self._flags.force_exit or self._group.failure:
            return self._flags.should_exit or self._group.failure is not None
        if self._stop_at == inf:
            # With several processes the supervisor delays the stop.
            delay = 0 if self._observer.is_supervised else self._config.shutdown_delay
            self._stop_at = time.monotonic() + delay
            if delay:
                logger.info("Shutting down in %s. (CTRL+C to force quit)", format_count(delay, "second"))
        return time.monotonic() >= self._stop_at

    def _send_heartbeat(self) -> None:
        is_alive = self._group.has_progressed()
        self._observer.on_heartbeat(is_alive=is_alive)
        if is_alive and not self._observer.is_supervised:
            systemd.notify_watchdog()

    def _handle_upkeep(self, number: int) -> None:
        if not self._observer.is_supervised:
            logger.info("Received %s.", signal.Signals(number).name)
        reopen_log_files()
        if number == signal.SIGHUP and self._certificates is not None and self._certificates.reload():
            self._group.update_tls()

    def _reload_changed_certificates(self) -> None:
        if self._certificates is not None and self._certificates.reload_if_changed():
            self._group.update_tls()

    def _stop(self) -> bool:
        """Stop accepting, let the loops drain, and close everything. Return whether every loop ended."""
        self._is_stopping = True
        if self._group.failure is None:
            logger.info("Shutting down")
        if not self._observer.is_supervised:
            systemd.notify("STOPPING=1")
        self._acceptor.stop_listening()
        ended = self._group.stop(self._is_forced)
        ended = self._loader.stop(POOL_GRACE_SECONDS) and ended
        if self._app_threads is not None:
            # The calls of a loop that has not ended may never end.
            ended = self._app_threads.stop(POOL_GRACE_SECONDS if ended else 0) and ended
        self._acceptor.close()
        for listener in self.listeners:
            listener.close()
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._admin is not None:
            self._admin.stop()
        self.view.problems.uninstall()
        self._gil_guard.uninstall()
        self._log_writer.stop()
        return ended

    def _exit_stalled(self) -> None:
        """End the process, as no loop turns any more. Called on the watchdog's thread."""
        error = LoopsStalled(
            f"no loop thread has turned for {format_count(self._config.timeout_loop_exit or 0, 'second')}"
        )
        logger.critical("%s: terminating process", error)
        exit_now(error.exit_code, clean=False)

    def _is_forced(self) -> bool:
        """Return whether to terminate the loops that are stopping. They are alive as long as this is called."""
        self._send_heartbeat()
        return self._flags.force_exit


def make_acceptor(config: Config, bounds: Bounds, *, watches_idle: bool) -> Acceptor:
    """Return the acceptor for a configuration; with `watches_idle` it takes idle connections from the loops."""
    distribute = make_distributor(config.distribute)
    if not watches_idle:
        return Acceptor(distribute)
    timeouts = config.timeout_keep_alive, config.timeout_request_header
    is_balanced = config.distribute == "least-busy" and config.thread_count > 1
    idle = IdleConnections(*timeouts, bounds.idle_grace_seconds)
    return Acceptor(distribute, idle, Balancer() if is_balanced else None)


def noop() -> None:
    """Do nothing."""


def set_nonblocking(sockets: Listeners) -> Listeners:
    """Make the program's sockets ready to be polled, and return them as a list."""
    for listener in sockets:
        listener.setblocking(False)
    return list(sockets)


def start_listening(listener: socket.socket, backlog: int) -> None:
    """Listen, and only then let other sockets share the port. Raises `BindError` if another one listens on it."""
    try:
        listener.listen(backlog)
    except OSError as error:
        raise make_bind_error(listener.getsockname(), error) from error
    enable_port_sharing(listener)
