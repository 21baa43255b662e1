"""What a child process runs: one server, which tells the process that started it how it is.

Runs on the child's main thread, which a lone loop has, but for the `Teller`, whose methods of `Observer` run on the
server's thread. It owns the child's end of the connection and nothing of what is served; it never opens a listener of
its own but takes the ones that it is given.
"""

import os
import select
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from socket import socket
from types import FrameType

from threadserve.app.app_errors import application_traceback
from threadserve.config import Config
from threadserve.errors import AppImportFailed, ThreadserveError
from threadserve.listening.tcp import SharedListener
from threadserve.runtime.exiting import exits_in_time
from threadserve.runtime.signals import survive
from threadserve.server import Server
from threadserve.serving import Observer

# What a child says: it serves; it is alive; it has reached a limit and would like to be replaced.
READY = "ready"
BEAT = "beat"
RECYCLE = "recycle"

# How many beats there are, at least, in the time after which a silent child is replaced.
BEATS = 4
# By what a child is told to end at once.
HURRY = signal.SIGQUIT
STOPPING = (signal.SIGTERM, HURRY)
REOPEN = signal.SIGUSR1
# Those that a terminal or a service manager sends to all its processes: until the child serves, the supervisor's to
# act on.
SENT_TO_ALL = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, REOPEN)


@dataclass(frozen=True)
class Failure:
    """Why a child ends without having served: its error's line and exit code, and the application's traceback or ""."""

    line: str
    exit_code: int
    traceback: str


Message = str | Failure


def serve(config: Config, listeners: list[socket], connection: Connection, reports_to: socket | None) -> None:
    """Serves on listeners that other processes have as well, until SIGTERM, SIGQUIT or the end of the supervisor."""
    for number in SENT_TO_ALL:
        # Not `SIG_IGN`, which the programs that an application starts would inherit.
        signal.signal(number, survive)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SENT_TO_ALL)
    reopen_stdin()
    passed: list[Connection | socket | None] = [connection, reports_to, *listeners]
    for each in passed:
        # It was inheritable to get here. A program that an application starts must not keep it open.
        if each is not None:
            os.set_inheritable(each.fileno(), False)
    teller = Teller(connection, config.timeout_worker_healthcheck / BEATS, reports_to)
    with exits_in_time(at_once=(HURRY,)):
        try:
            server = WorkerServer(config, observer=teller)
            teller.server = server
            server.run([SharedListener(fileno=listener.detach()) for listener in listeners])
        except ThreadserveError as error:
            teller.tell(failure(error))
            sys.exit(error.exit_code)


class WorkerServer(Server):
    """The server of a child. SIGTERM stops it in order however often it comes, and SIGQUIT at once.

    Service managers send SIGTERM to every process of a service, and the supervisor passes its own on.
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See `Server.handle_exit`."""
        # A signal may interrupt the handling of another at any line, so that what is done twice does nothing more.
        self._signals = self._signals[:1] or [sig]
        self.should_exit = True
        if sig == HURRY:
            self.force_exit = True


class Teller(Observer):
    """Tells the supervisor about a server, and stops the server when the supervisor is gone."""

    is_supervised = True
    stop_signals = STOPPING
    upkeep_signals = (REOPEN,)

    def __init__(self, connection: Connection, longest_silence: float, reports_to: socket | None = None) -> None:
        self.reports_to = reports_to
        self.interval = min(self.interval, longest_silence)
        self.server: Server | None = None
        self._connection = connection
        self._serves = False
        self._reached_limit = False

    def on_serving(self) -> None:
        """See `Observer.on_serving`."""
        self._serves = True
        self.tell(READY)

    def on_tick(self, *, has_moved: bool) -> None:
        """See `Observer.on_tick`. A child whose loops are all blocked is alive, as Uvicorn's is: its requests go on."""
        if self._serves:
            self.tell(BEAT)
        if self._is_orphaned() and self.server is not None:
            self.server.should_exit = True

    def on_limit(self) -> bool:
        """See `Observer.on_limit`: goes on until a replacement serves."""
        if not self._reached_limit:
            self._reached_limit = True
            self.tell(RECYCLE)
        return False

    def tell(self, message: Message) -> None:
        """Says something, unless nobody listens; a supervisor that was stopped must not stop its workers as well."""
        with suppress(OSError):
            if select.select([], [self._connection], [], 0)[1]:
                self._connection.send(message)

    def _is_orphaned(self) -> bool:
        """The supervisor says nothing: when there is something to read, it is the end."""
        return self._connection.poll()


def reopen_stdin() -> None:
    """Gives debuggers the terminal, which multiprocessing takes away."""
    with suppress(OSError):
        sys.stdin = os.fdopen(0, closefd=False)


def failure(error: ThreadserveError) -> Failure:
    """What the supervisor has to know of an error."""
    cause = error.__cause__ if isinstance(error, AppImportFailed) else None
    return Failure(str(error), error.exit_code, application_traceback(cause) if cause is not None else "")
