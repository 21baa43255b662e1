"""Serving in a child process that is started anew when the code changes.

Runs on the main thread of the process that was started by hand, which never loads the application. It owns the child
and the watcher, and keeps the listeners open from one child to the next, so that clients wait and nobody is refused.
"""

import logging
import math
import os
import signal
import sys
import time
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from socket import socket, socketpair

from threadserve.banner import log_addresses
from threadserve.config import Config
from threadserve.listening import systemd
from threadserve.logging.configuring import configure_logging
from threadserve.logging.formatters import log_emphasised
from threadserve.logging.reopening import reopen_log_files
from threadserve.runtime.signals import UPKEEP, call_claimants, captured
from threadserve.workers.child import Child, check_can_be_sent
from threadserve.workers.patterns import Patterns
from threadserve.workers.pool import FORCED_GRACE, reason_of
from threadserve.workers.watching import make_watcher

logger = logging.getLogger("threadserve.error")

# What a child may take, in seconds, beyond the time in which its requests may end: for cutting off and for lifespan
# shutdown.
STOP_MARGIN = 10.0


class StopRequest:
    """How often signals have asked to stop. Set by signal handlers, which may interrupt the others anywhere."""

    def __init__(self) -> None:
        self.count = 0
        self._reader, self._writer = socketpair()
        self._writer.setblocking(False)

    def set(self) -> None:
        """Somebody asks to stop."""
        self.count += 1
        # A full buffer is readable too.
        with suppress(BlockingIOError):
            self._writer.send(b"\0")

    def is_set(self) -> bool:
        """Whether anybody has."""
        return self.count > 0

    def wait(self, timeout: float) -> bool:
        """Waits for that, `timeout` seconds at most; returns whether anybody has asked."""
        return bool(wait([self._reader], timeout))

    def close(self) -> None:
        """Gives the descriptors back."""
        self._reader.close()
        self._writer.close()


class Reloader:
    """Serves with one child process. Raises `ConfigError` for what cannot be passed to another process.

    `sockets` are bound, and the reloader's from now on.
    """

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        check_can_be_sent(config)
        configure_logging(config)
        self._config = config
        self._sockets = sockets
        self._stop = StopRequest()
        self._patterns = Patterns(config)
        self._watcher = make_watcher(self._patterns, config.reload_delay, self._stop)
        self._child = Child(config, sockets)
        self._has_served = False
        self._has_ended = False

    def run(self) -> None:
        """Serves until a signal, which a handler of the program's own gets then.

        Raises `SystemExit` when a second one ended it.
        """
        logger.info("Will watch for changes in these directories: %s", [str(each) for each in self._patterns.folders])
        log_emphasised(
            logger, "Started reloader process [%d] using %s", os.getpid(), self._watcher.name, fg="cyan", bold=True
        )
        with captured(self._stop.set) as signals, captured(lambda: None, UPKEEP) as upkeep:
            self._child.start()
            try:
                while not self._stop.is_set():
                    self._step()
                    while upkeep and not self._stop.is_set():
                        self._look_after(upkeep.pop(0))
            finally:
                systemd.notify("STOPPING=1")
                self._end_child()
                for listener in self._sockets:
                    listener.close()
        self._stop.close()
        log_emphasised(logger, "Stopping reloader process [%d]", os.getpid(), fg="cyan", bold=True)
        if len(signals) > 1:
            sys.exit(128 + signals[-1])
        call_claimants(signals)

    def _step(self) -> None:
        """Waits a moment for changes and starts anew if there are any; says how the child is if that is news."""
        systemd.beat()
        changed = self._watcher.changes()
        if changed and not self._stop.is_set():
            names = ", ".join(sorted(map(shown, changed)))
            logger.warning("%s detected changes in %s. Reloading...", self._watcher.name, names)
            self._renew_child()
        # Asked before what it told is read: after its end nothing more comes.
        is_alive = self._child.is_alive()
        self._child.receive()
        if self._child.ready and not self._has_served:
            self._has_served = True
            log_addresses(self._config, self._sockets)
            systemd.notify("READY=1")
        if not is_alive and not self._has_ended:
            self._on_end()

    def _look_after(self, number: int) -> None:
        """Opens log files anew; SIGHUP has another child serve, with the certificates that there are now."""
        logger.info("Received %s.", signal.Signals(number).name)
        reopen_log_files()
        if number == signal.SIGHUP:
            self._renew_child()
        else:
            self._child.reopen_log_files()

    def _renew_child(self) -> None:
        self._end_child()
        self._child = Child(self._config, self._sockets)
        self._child.start()
        self._has_ended = False

    def _on_end(self) -> None:
        """Says why the child ended by itself. It takes another change to have it serve again."""
        self._has_ended = True
        failure = self._child.failure
        if failure is not None and failure.traceback:
            logger.error("The application cannot be imported:\n%s", failure.traceback.rstrip())
        logger.error("Server process [%d] has ended: %s", self._child.pid, reason_of(self._child))
        logger.info("Waiting for changes.")

    def _end_child(self) -> None:
        """Has the child finish what it serves, or end at once at a second signal; kills it if that takes too long."""
        grace = self._config.timeout_graceful_shutdown
        deadline = time.monotonic() + grace + STOP_MARGIN if grace is not None else math.inf
        is_hurried = False
        self._child.stop()
        while not self._child.join(0.1):
            systemd.beat()
            if self._stop.count > 1 and not is_hurried:
                is_hurried = True
                deadline = time.monotonic() + FORCED_GRACE
                self._child.hurry()
            if time.monotonic() > deadline:
                self._child.kill()
        self._child.close()


def shown(path: Path) -> str:
    """How the log names a file."""
    return repr(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
