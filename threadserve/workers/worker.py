"""The main function of a child process: runs one server and reports to the supervisor.

`serve_worker` runs on the child's main thread. The methods that `WorkerHeartbeat` has from `Observer` run on the
server's thread. The module owns the child's end of the pipe and nothing of what is served; it opens no listener but
takes the ones that it is given.
"""

import os
import select
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from multiprocessing.connection import Connection
from socket import socket
from types import FrameType

from threadserve.app.app_errors import format_app_traceback
from threadserve.config import Config
from threadserve.errors import AppImportFailed, ThreadserveError
from threadserve.listening.tcp import SharedListener
from threadserve.observer import Observer
from threadserve.runtime.exiting import exit_deadline
from threadserve.runtime.signals import ignore_signal
from threadserve.server import Server

# The least number of heartbeats within `--timeout-worker-healthcheck`.
HEARTBEATS_PER_TIMEOUT = 4

TERMINATE_SIGNAL = signal.SIGQUIT
CHILD_STOP_SIGNALS = (signal.SIGTERM, TERMINATE_SIGNAL)
REOPEN_SIGNAL = signal.SIGUSR1
# Signals that a terminal or a service manager sends to all its processes. Until the child serves, the supervisor alone
# acts on them.
GROUP_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, REOPEN_SIGNAL)


class WorkerEvent(Enum):
    """The events that a child reports. With `LIMIT_REACHED` it asks for a replacement."""

    READY = "ready"
    HEARTBEAT = "heartbeat"
    LIMIT_REACHED = "limit reached"


@dataclass(frozen=True)
class StartFailure:
    """The reason for an end before the start: the error's line and exit code, the application's traceback or ""."""

    line: str
    exit_code: int
    traceback: str


WorkerMessage = WorkerEvent | StartFailure


def serve_worker(config: Config, listeners: list[socket], connection: Connection, status_socket: socket | None) -> None:
    """Serve on listeners shared with other processes, until SIGTERM, SIGQUIT or the end of the supervisor."""
    for number in GROUP_SIGNALS:
        # Not `SIG_IGN`, which programs started by the application would inherit.
        signal.signal(number, ignore_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)
    reopen_stdin()
    passed: list[Connection | socket | None] = [connection, status_socket, *listeners]
    for each in passed:
        # It had to be inheritable to get here, but programs started by the application must not keep it open.
        if each is not None:
            os.set_inheritable(each.fileno(), False)
    heartbeat = WorkerHeartbeat(connection, config.timeout_worker_healthcheck / HEARTBEATS_PER_TIMEOUT, status_socket)
    with exit_deadline(at_once=(TERMINATE_SIGNAL,)):
        try:
            server = WorkerServer(config, observer=heartbeat)
            heartbeat.server = server
            server.run([SharedListener(fileno=listener.detach()) for listener in listeners])
        except ThreadserveError as error:
            heartbeat.send(make_start_failure(error))
            sys.exit(error.exit_code)


class WorkerServer(Server):
    """The server of a child. SIGTERM stops it gracefully, however often it comes, and SIGQUIT at once.

    Service managers send SIGTERM to every process of a service, and the supervisor sends it as well.
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal to stop."""
        # A signal may interrupt the handling of another at any line: every step is idempotent.
        self._signals = self._signals[:1] or [sig]
        self.should_exit = True
        if sig == TERMINATE_SIGNAL:
            self.force_exit = True


class WorkerHeartbeat(Observer):
    """Reports a server's state to the supervisor, and stops the server when the supervisor is gone."""

    is_supervised = True
    stop_signals = CHILD_STOP_SIGNALS
    upkeep_signals = (REOPEN_SIGNAL,)

    def __init__(self, connection: Connection, longest_silence: float, status_socket: socket | None = None) -> None:
        self.status_socket = status_socket
        self.interval = min(self.interval, longest_silence)
        self.server: Server | None = None
        self._connection = connection
        self._is_serving = False
        self._has_reached_limit = False

    def on_serving(self) -> None:
        """Report that the server serves."""
        self._is_serving = True
        self.send(WorkerEvent.READY)

    def on_heartbeat(self, *, is_alive: bool) -> None:
        """Send a heartbeat. It is sent even if all loops are blocked, as by Uvicorn: the child's requests go on."""
        if self._is_serving:
            self.send(WorkerEvent.HEARTBEAT)
        # To set it anew would wake the server's thread, which calls this again.
        if self.server is not None and not self.server.should_exit and self._is_orphaned():
            self.server.should_exit = True

    def on_limit(self) -> bool:
        """Ask for a replacement, once. The server goes on until the replacement serves."""
        if not self._has_reached_limit:
            self._has_reached_limit = True
            self.send(WorkerEvent.LIMIT_REACHED)
        return False

    def send(self, message: WorkerMessage) -> None:
        """Send a message unless the pipe is full or closed: a stopped supervisor must not block its workers."""
        with suppress(OSError):
            if select.select([], [self._connection], [], 0)[1]:
                self._connection.send(message)

    def _is_orphaned(self) -> bool:
        """Return whether the supervisor is gone: it sends nothing, so what can be read is the end."""
        return self._connection.poll()


def reopen_stdin() -> None:
    """Reopen standard input for debuggers: multiprocessing closes it."""
    with suppress(OSError):
        sys.stdin = os.fdopen(0, closefd=False)


def make_start_failure(error: ThreadserveError) -> StartFailure:
    """Return what the supervisor reports about an error that ended the start."""
    cause = error.__cause__ if isinstance(error, AppImportFailed) else None
    return StartFailure(str(error), error.exit_code, format_app_traceback(cause) if cause is not None else "")
