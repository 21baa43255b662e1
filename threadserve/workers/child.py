"""A server process that this process has started.

Belongs to the thread that made it, the supervisor's or the reloader's main thread. It owns the process and this end of
the pipe to it; the listeners belong to the supervisor. It never waits, except in `join`.
"""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from socket import socket, socketpair

from threadserve.config import Config
from threadserve.errors import ConfigError
from threadserve.workers.worker import (
    GROUP_SIGNALS,
    REOPEN_SIGNAL,
    TERMINATE_SIGNAL,
    StartFailure,
    WorkerEvent,
    serve_worker,
)

# A fresh interpreter: forking would copy this one's threads' locks, and its old code.
SPAWN = multiprocessing.get_context("spawn")


class ChildProcess:
    """One server process.

    `pid` is its id once it is started. `receive` reads from `connection` what the child sends; afterwards `ready` tells
    that the child serves, `failure` why it ended before that, if it told, and `wants_replacement` that it has reached a
    limit. With `reports`, the admin thread asks the child for its status by `status_socket`, and closes that.
    """

    def __init__(self, config: Config, sockets: list[socket], *, reports: bool = False) -> None:
        self.pid = 0
        self.ready = False
        self.wants_replacement = False
        self.failure: StartFailure | None = None
        self.connection, self._far_end = SPAWN.Pipe()
        self._at_end = False
        # Plain sockets: multiprocessing can pass no others, and a Unix socket's file is removed by its owner alone.
        self._copies = [socket(fileno=os.dup(each.fileno())) for each in sockets]
        self.status_socket: socket | None = None
        self._child_status_socket: socket | None = None
        if reports:
            self.status_socket, self._child_status_socket = socketpair()
        arguments = config, self._copies, self._far_end, self._child_status_socket
        self._process = SPAWN.Process(target=serve_worker, args=arguments, name="threadserve-worker")

    def start(self) -> None:
        """Start the process and pass the listeners to it. To be called once."""
        # The resource tracker unblocks the signals that it ignores itself when it starts. Started here, with the others
        # blocked, it keeps them blocked, and they cannot end it.
        with block_signals():
            resource_tracker.ensure_running()
        with block_signals():
            self._process.start()
        self.pid = self._process.pid or 0
        # Only the child has its end of the pipe now, so that the pipe ends when the child does.
        self._far_end.close()
        for copy in (*self._copies, self._child_status_socket):
            if copy is not None:
                copy.close()

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the process has ended."""
        return self._process.sentinel

    @property
    def exit_code(self) -> int | None:
        """The exit code: None while the process runs, negative for the signal that killed it."""
        return self._process.exitcode

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        return self._process.is_alive()

    def waitables(self) -> list[Connection | int]:
        """Return what becomes readable when `receive` has something to read or the process has ended.

        It is meant for `multiprocessing.connection.wait`.
        """
        return [self.sentinel] if self._at_end else [self.sentinel, self.connection]

    def receive(self) -> bool:
        """Read what the child has sent; return whether there was anything."""
        has_received = False
        while not self._at_end and self.connection.poll():
            try:
                message = self.connection.recv()
            except (EOFError, OSError):
                self._at_end = True
                break
            has_received = True
            self.ready = self.ready or message is WorkerEvent.READY
            self.wants_replacement = self.wants_replacement or message is WorkerEvent.LIMIT_REACHED
            if isinstance(message, StartFailure):
                self.failure = message
        return has_received

    def stop(self) -> None:
        """Ask the child to stop gracefully (SIGTERM)."""
        self._send(signal.SIGTERM)

    def terminate(self) -> None:
        """Ask the child to stop at once."""
        self._send(TERMINATE_SIGNAL)

    def reopen_log_files(self) -> None:
        """Ask the child to reopen its log files."""
        self._send(REOPEN_SIGNAL)

    def kill(self) -> None:
        """Kill the child (SIGKILL)."""
        self._send(signal.SIGKILL)

    def join(self, timeout: float | None = None) -> bool:
        """Wait `timeout` seconds at most for the process to end; return whether it has ended."""
        self._process.join(timeout)
        return not self.is_alive()

    def close(self) -> None:
        """Close the pipe. To the child that means that its supervisor is gone."""
        self._at_end = True
        self.connection.close()

    def _send(self, number: int) -> None:
        # Until the process has been waited for, its id is not given to another one.
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


@contextmanager
def block_signals() -> Iterator[None]:
    """Block the signals of `GROUP_SIGNALS` while a child is started; it unblocks them once it can handle them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check_picklable(config: Config) -> None:
    """Raise `ConfigError` for a setting that cannot be passed to a child process."""
    for declared in fields(config):
        try:
            pickle.dumps(getattr(config, declared.name))
        except Exception as error:
            raise ConfigError(declared.name, f"it cannot be passed to another process: {error}") from error
