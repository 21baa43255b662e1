"""Serving in a child process that is restarted when the code changes.

Runs on the main thread of the process that was started by hand, which never loads the application. It owns the child
and the watcher, and keeps the listeners open between one child and the next, so that clients wait and none is refused.
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
from threadserve.runtime.signals import UPKEEP_SIGNALS, call_program_handlers, collecting_signals
from threadserve.workers.child import ChildProcess, check_picklable
from threadserve.workers.pool import WORKER_TERMINATE_GRACE_SECONDS, format_exit_reason
from threadserve.workers.reload_patterns import ReloadPatterns
from threadserve.workers.watchers import make_watcher

logger = logging.getLogger("threadserve.error")

# Time beyond `timeout_graceful_shutdown` for cutting off requests and for lifespan shutdown.
RELOAD_STOP_MARGIN_SECONDS = 10.0


class StopRequest:
    """Counts the signals that ask to stop. Set by signal handlers, which may interrupt any other method."""

    def __init__(self) -> None:
        self.count = 0
        self._reader, self._writer = socketpair()
        self._writer.setblocking(False)

    def set(self) -> None:
        """Ask to stop."""
        self.count += 1
        # A full buffer wakes the reader as well.
        with suppress(BlockingIOError):
            self._writer.send(b"\0")

    def is_set(self) -> bool:
        """Return whether a signal has asked to stop."""
        return self.count > 0

    def wait(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most for a request to stop; return whether there is one."""
        return bool(wait([self._reader], timeout))

    def close(self) -> None:
        """Close the descriptors."""
        self._reader.close()
        self._writer.close()


class Reloader:
    """Serves with one child process. Raises `ConfigError` for a setting that cannot be passed to another process.

    `sockets` are bound; the reloader owns them from now on.
    """

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        check_picklable(config)
        configure_logging(config)
        self._config = config
        self._sockets = sockets
        self._stop = StopRequest()
        self._patterns = ReloadPatterns(config)
        self._watcher = make_watcher(self._patterns, config.reload_delay, self._stop)
        self._child = ChildProcess(config, sockets)
        self._has_served = False
        self._has_ended = False

    def run(self) -> None:
        """Serve until a signal, which then goes to a handler of the program's own, if it has one.

        Raises `SystemExit` after a second signal.
        """
        logger.info("Will watch for changes in these directories: %s", [str(each) for each in self._patterns.folders])
        log_emphasised(
            logger, "Started reloader process [%d] using %s", os.getpid(), self._watcher.name, fg="cyan", bold=True
        )
        with collecting_signals(self._stop.set) as signals, collecting_signals(lambda: None, UPKEEP_SIGNALS) as upkeep:
            self._child.start()
            try:
                while not self._stop.is_set():
                    self._step()
                    while upkeep and not self._stop.is_set():
                        self._handle_upkeep(upkeep.pop(0))
            finally:
                systemd.notify("STOPPING=1")
                self._stop_child()
                for listener in self._sockets:
                    listener.close()
        self._stop.close()
        log_emphasised(logger, "Stopping reloader process [%d]", os.getpid(), fg="cyan", bold=True)
        if len(signals) > 1:
            sys.exit(128 + signals[-1])
        call_program_handlers(signals)

    def _step(self) -> None:
        """Wait a moment for changes and restart the child if there are any; log when the child serves or has ended."""
        systemd.notify_watchdog()
        changed = self._watcher.wait_for_changes()
        if changed and not self._stop.is_set():
            names = ", ".join(sorted(map(format_changed_file, changed)))
            logger.warning("%s detected changes in %s. Reloading...", self._watcher.name, names)
            self._restart_child()
        # In this order: after the end nothing more can be received.
        is_alive = self._child.is_alive()
        self._child.receive()
        if self._child.ready and not self._has_served:
            self._has_served = True
            log_addresses(self._config, self._sockets)
            systemd.notify("READY=1")
        if not is_alive and not self._has_ended:
            self._on_exit()

    def _handle_upkeep(self, number: int) -> None:
        """Reopen log files. SIGHUP restarts the child, which loads the current certificates."""
        logger.info("Received %s.", signal.Signals(number).name)
        reopen_log_files()
        if number == signal.SIGHUP:
            self._restart_child()
        else:
            self._child.reopen_log_files()

    def _restart_child(self) -> None:
        self._stop_child()
        self._child = ChildProcess(self._config, self._sockets)
        self._child.start()
        self._has_ended = False

    def _on_exit(self) -> None:
        """Log why the child ended by itself. It is restarted at the next change."""
        self._has_ended = True
        failure = self._child.failure
        if failure is not None and failure.traceback:
            logger.error("The application cannot be imported:\n%s", failure.traceback.rstrip())
        logger.error("Server process [%d] has ended: %s", self._child.pid, format_exit_reason(self._child))
        logger.info("Waiting for changes.")

    def _stop_child(self) -> None:
        """Stop the child gracefully, or at once after a second signal; kill it when it takes too long."""
        grace = self._config.timeout_graceful_shutdown
        deadline = time.monotonic() + grace + RELOAD_STOP_MARGIN_SECONDS if grace is not None else math.inf
        is_terminated = False
        self._child.stop()
        while not self._child.join(0.1):
            systemd.notify_watchdog()
            if self._stop.count > 1 and not is_terminated:
                is_terminated = True
                deadline = time.monotonic() + WORKER_TERMINATE_GRACE_SECONDS
                self._child.terminate()
            if time.monotonic() > deadline:
                self._child.kill()
        self._child.close()


def format_changed_file(path: Path) -> str:
    """Return a file's path for the log, relative to the working directory if it is below that."""
    return repr(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
