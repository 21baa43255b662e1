"""The supervisor: starts worker processes, replaces those that die, hang or reach a limit, and stops them.

Runs on the main thread of the process that the command starts. It owns the listeners, which the workers get too, and
the signal handlers while it runs; it never accepts a connection or imports the application, and starts no thread but
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
from threadserve.logging.wording import counted
from threadserve.metrics import states
from threadserve.runtime.signals import STOPPING, UPKEEP, call_claimants, captured
from threadserve.threads.accepting import HANDSHAKE, ignore_newcomers
from threadserve.workers.child import check_can_be_sent
from threadserve.workers.pool import WorkerPool

logger = logging.getLogger("threadserve.error")

TICK = 0.5
# How long, in seconds, workers may take to accept what waits in the listeners when everything is to stop.
QUEUE_GRACE = 1.0
SIGNALS = (*STOPPING, *UPKEEP, signal.SIGTTIN, signal.SIGTTOU)


class Supervisor:
    """Serves with `config.worker_count` processes.

    `sockets` are bound, and the supervisor's from now on.
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
        self._looked_at = time.monotonic()

    def run(self) -> None:
        """Serves until a signal, which a handler of the program's own gets then.

        Raises `ConfigError` for a setting that cannot be passed to another process, `WorkerFailed` if the workers could
        not start, and `SystemExit` when a second signal ended it, or a first one a start-up that did not end by itself.
        """
        with captured(self._wake, SIGNALS) as signals:
            try:
                check_can_be_sent(self._config)
                log_emphasised(logger, "Started parent process [%d]", os.getpid(), fg="cyan", bold=True)
                if self._admin is not None:
                    self._admin.start()
                came = self._serve(signals)
            finally:
                self._pool.kill()
                if self._admin is not None:
                    self._admin.stop()
                for owned in (*self._listeners, self._wake_reader, self._wake_writer):
                    owned.close()
        if self._pool.failure is not None:
            raise self._pool.failure
        log_emphasised(logger, "Stopping parent process [%d]", os.getpid(), fg="cyan", bold=True)
        if len(came) > 1 or (came and self._pool.has_cut_off_start):
            sys.exit(128 + came[-1])
        call_claimants(came)

    def _serve(self, signals: list[int]) -> list[int]:
        """Serves and stops. Returns the signal to stop, and the one to hurry if it came."""
        while not (came := self._act_on(signals)) and self._pool.failure is None:
            self._step()
        systemd.notify("STOPPING=1")
        if self._pool.has_started and came:
            self._delay_stop(signals, came)
        self._is_stopping = True
        self._pool.tell_admin(self._phase())
        if self._pool.has_started:
            self._let_queues_empty()
        self._pool.stop()
        if self._pool.failure is not None:
            self._pool.hurry()
        if len(came) > 1:
            self._pool.hurry()
        while not self._pool.has_ended:
            self._step()
            if self._notice_second(signals, came):
                self._pool.hurry()
        return came

    def _delay_stop(self, signals: list[int], came: list[int]) -> None:
        """Goes on for `--shutdown-delay`, unless a second signal comes."""
        delay = self._config.shutdown_delay
        stops_at = time.monotonic() + delay
        self._is_draining = True
        if delay:
            logger.info("Shutting down in %s. (CTRL+C to force quit)", counted(delay, "second"))
        while time.monotonic() < stops_at and self._pool.failure is None and len(came) == 1:
            self._step(min(TICK, max(0.0, stops_at - time.monotonic())))
            came += self._act_on(signals)

    def _notice_second(self, signals: list[int], came: list[int]) -> bool:
        """Adds the second signal to stop to the first; returns whether it has just come."""
        if len(came) > 1 or not (again := [number for number in signals if number in STOPPING]):
            return False
        came.append(again[0])
        return True

    def _act_on(self, signals: list[int]) -> list[int]:
        """Does what signals ask for; returns the first of them that is to stop, if there is one."""
        while signals:
            number = signals.pop(0)
            logger.info("Received %s.", signal.Signals(number).name)
            if number in STOPPING:
                return [number]
            if number in UPKEEP:
                reopen_log_files()
                self._pool.reopen_log_files()
            if number == signal.SIGHUP:
                systemd.notify_reloading()
                self._pool.renew()
            elif number == signal.SIGTTIN:
                self._pool.grow()
            elif number == signal.SIGTTOU and not self._pool.shrink():
                logger.info("There is only one worker process, which stays.")
        return []

    def _phase(self) -> str:
        if self._is_stopping:
            return states.STOPPING
        if self._is_draining:
            return states.DRAINING
        return states.SERVING if self._pool.has_started else states.STARTING

    def _step(self, timeout: float = TICK) -> None:
        """Waits for news of the workers, a signal or the time to look, and has the pool act on it."""
        had_started, was_renewing = self._pool.has_started, self._pool.is_renewing
        self._pool.check(self._elapsed())
        self._pool.tell_admin(self._phase())
        if self._pool.has_started and not had_started:
            log_workers_start(self._config, self._listeners)
            systemd.notify("READY=1")
        elif was_renewing and not self._pool.is_renewing:
            systemd.notify("READY=1")
        systemd.beat()
        if self._wake_reader in wait([self._wake_reader, *self._pool.waitables()], timeout):
            self._wake_reader.recv(4096)

    def _elapsed(self) -> float:
        """The seconds since the last look, but no more than it should have been: a stopped supervisor heard nobody."""
        before, self._looked_at = self._looked_at, time.monotonic()
        return min(self._looked_at - before, 2 * TICK)

    def _let_queues_empty(self) -> None:
        """Has workers take up the connections that would be reset when the last of them closes the listeners."""
        own = [listener for listener in self._listeners if not is_shared(listener)]
        for listener in own:
            ignore_newcomers(listener)
        time.sleep(HANDSHAKE)
        deadline = time.monotonic() + QUEUE_GRACE
        while wait(own, 0) and time.monotonic() < deadline:
            time.sleep(HANDSHAKE)

    def _wake(self) -> None:
        try:
            self._wake_writer.send(b"\0")
        except BlockingIOError:
            # It is awake.
            return
