"""The supervisor: starts worker processes, replaces those that die, hang or reach a limit, and stops them.

Runs on the main thread of the process that the command starts. It owns the listeners, which the workers get too, and
the signal handlers while it runs. It never accepts a connection or imports the application, and starts no thread but
that of the admin address.
"""

import logging
import os
import signal
import sys
import time
from multiprocessing.connection import wait
from socket import socket, socketpair

from threadserve.admin.server import listen_for_admin
from threadserve.admin.workers import WorkersAdmin
from threadserve.banner import log_workers_start
from threadserve.config import Config
from threadserve.listening import systemd
from threadserve.listening.tcp import is_shared
from threadserve.logging.configuring import configure_logging
from threadserve.logging.formatters import log_emphasised
from threadserve.logging.reopening import reopen_log_files
from threadserve.logging.wording import format_count
from threadserve.metrics.states import ServerPhase
from threadserve.runtime.signals import STOP_SIGNALS, UPKEEP_SIGNALS, call_program_handlers, collecting_signals
from threadserve.threads.accept_queue import HANDSHAKE_SECONDS, drop_new_connections
from threadserve.workers.child import check_picklable
from threadserve.workers.pool import WorkerPool

logger = logging.getLogger("threadserve.error")

SUPERVISOR_TICK_SECONDS = 0.5
# The time that workers have at the end to accept what waits in the listeners.
QUEUE_GRACE_SECONDS = 1.0
SUPERVISOR_SIGNALS = (*STOP_SIGNALS, *UPKEEP_SIGNALS, signal.SIGTTIN, signal.SIGTTOU)


class Supervisor:
    """Serves with `config.worker_count` processes.

    `sockets` are bound; the supervisor owns them from now on.
    """

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        configure_logging(config)
        self._config = config
        self._listeners = sockets
        admin_listeners = listen_for_admin(config, sockets)
        self._admin = WorkersAdmin(admin_listeners) if admin_listeners else None
        self._pool = WorkerPool(config, sockets, config.worker_count, self._admin)
        self._is_draining = self._is_stopping = False
        self._wake_reader, self._wake_writer = socketpair()
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
        self._checked_at = time.monotonic()

    def run(self) -> None:
        """Serve until a signal, which then goes to a handler of the program's own, if it has one.

        Raises `ConfigError` for a setting that cannot be passed to another process, `WorkerFailed` if the workers could
        not start, and `SystemExit` when a second signal terminated it, or when the first signal cut off a start-up.
        """
        with collecting_signals(self._wake, SUPERVISOR_SIGNALS) as signals:
            try:
                check_picklable(self._config)
                log_emphasised(logger, "Started parent process [%d]", os.getpid(), fg="cyan", bold=True)
                if self._admin is not None:
                    self._admin.start()
                stop_signals = self._serve(signals)
            finally:
                self._pool.kill()
                if self._admin is not None:
                    self._admin.stop()
                for owned in (*self._listeners, self._wake_reader, self._wake_writer):
                    owned.close()
        if self._pool.failure is not None:
            raise self._pool.failure
        log_emphasised(logger, "Stopping parent process [%d]", os.getpid(), fg="cyan", bold=True)
        if len(stop_signals) > 1 or (stop_signals and self._pool.has_cut_off_start):
            sys.exit(128 + stop_signals[-1])
        call_program_handlers(stop_signals)

    def _serve(self, signals: list[int]) -> list[int]:
        """Serve, then stop the workers. Return the signal that asked to stop, and the second one if it came."""
        while not (stop_signals := self._handle_signals(signals)) and self._pool.failure is None:
            self._step()
        systemd.notify("STOPPING=1")
        if self._pool.has_started and stop_signals:
            self._delay_stop(signals, stop_signals)
        self._is_stopping = True
        self._pool.report_to_admin(self._phase())
        if self._pool.has_started:
            self._wait_for_empty_backlogs()
        self._pool.stop()
        if self._pool.failure is not None:
            self._pool.terminate()
        if len(stop_signals) > 1:
            self._pool.terminate()
        while not self._pool.has_ended:
            self._step()
            if self._has_second_signal(signals, stop_signals):
                self._pool.terminate()
        return stop_signals

    def _delay_stop(self, signals: list[int], stop_signals: list[int]) -> None:
        """Go on serving for `--shutdown-delay` seconds, unless a second signal comes."""
        delay = self._config.shutdown_delay
        stops_at = time.monotonic() + delay
        self._is_draining = True
        if delay:
            logger.info("Shutting down in %s. (CTRL+C to force quit)", format_count(delay, "second"))
        while time.monotonic() < stops_at and self._pool.failure is None and len(stop_signals) == 1:
            self._step(min(SUPERVISOR_TICK_SECONDS, max(0.0, stops_at - time.monotonic())))
            stop_signals += self._handle_signals(signals)

    def _has_second_signal(self, signals: list[int], stop_signals: list[int]) -> bool:
        """Append the second signal to `stop_signals`; return whether it has just come."""
        if len(stop_signals) > 1 or not (again := [number for number in signals if number in STOP_SIGNALS]):
            return False
        stop_signals.append(again[0])
        return True

    def _handle_signals(self, signals: list[int]) -> list[int]:
        """Act on signals, up to the first one that asks to stop; return that one, if there is one."""
        while signals:
            number = signals.pop(0)
            logger.info("Received %s.", signal.Signals(number).name)
            if number in STOP_SIGNALS:
                return [number]
            if number in UPKEEP_SIGNALS:
                reopen_log_files()
                self._pool.reopen_log_files()
            if number == signal.SIGHUP:
                systemd.notify_reloading()
                self._pool.replace_all()
            elif number == signal.SIGTTIN:
                self._pool.grow()
            elif number == signal.SIGTTOU and not self._pool.shrink():
                logger.info("There is only one worker process, which stays.")
        return []

    def _phase(self) -> ServerPhase:
        if self._is_stopping:
            return ServerPhase.STOPPING
        if self._is_draining:
            return ServerPhase.DRAINING
        return ServerPhase.SERVING if self._pool.has_started else ServerPhase.STARTING

    def _step(self, timeout: float = SUPERVISOR_TICK_SECONDS) -> None:
        """Wait for a worker's message or end, a signal, or `timeout` seconds; then check the pool."""
        had_started, was_replacing = self._pool.has_started, self._pool.is_replacing
        self._pool.check(self._elapsed())
        self._pool.report_to_admin(self._phase())
        if self._pool.has_started and not had_started:
            log_workers_start(self._config, self._listeners)
            systemd.notify("READY=1")
        elif was_replacing and not self._pool.is_replacing:
            systemd.notify("READY=1")
        systemd.notify_watchdog()
        if self._wake_reader in wait([self._wake_reader, *self._pool.waitables()], timeout):
            self._wake_reader.recv(4096)

    def _elapsed(self) -> float:
        """Return the seconds since the last check, two ticks at most: a stopped supervisor has missed heartbeats."""
        before, self._checked_at = self._checked_at, time.monotonic()
        return min(self._checked_at - before, 2 * SUPERVISOR_TICK_SECONDS)

    def _wait_for_empty_backlogs(self) -> None:
        """Wait until workers have accepted the connections that closing the listeners would reset."""
        own = [listener for listener in self._listeners if not is_shared(listener)]
        for listener in own:
            drop_new_connections(listener)
        time.sleep(HANDSHAKE_SECONDS)
        deadline = time.monotonic() + QUEUE_GRACE_SECONDS
        while wait(own, 0) and time.monotonic() < deadline:
            time.sleep(HANDSHAKE_SECONDS)

    def _wake(self) -> None:
        try:
            self._wake_writer.send(b"\0")
        except BlockingIOError:
            # The buffer is full: the reader wakes anyway.
            return
