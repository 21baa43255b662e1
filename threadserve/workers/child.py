"""A server process that this one started, as its starter sees it.

Belongs to the thread that made it, the supervisor's main thread. It owns the process and this end of the connection;
the listeners are its starter's. It never waits, but for `join`.
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
from threadserve.workers.worker import HURRY, READY, RECYCLE, REOPEN, SENT_TO_ALL, Failure, serve

# A fresh interpreter: forking would copy this one's threads' locks, and its old code.
SPAWN = multiprocessing.get_context("spawn")


class Child:
    """One server process.

    `pid` is its id, once it is started. `connection` is what the child tells through; `receive` takes that in. `ready`
    then says whether it serves, `failure` why it ended before it did, if it said so, and `wants_recycling` whether it
    has reached a limit. With `reports` it answers who asks by `asks` how it is, which is the asker's to close.
    """

    def __init__(self, config: Config, sockets: list[socket], *, reports: bool = False) -> None:
        self.pid = 0
        self.ready = False
        self.wants_recycling = False
        self.failure: Failure | None = None
        self.connection, self._far_end = SPAWN.Pipe()
        self._at_end = False
        # Of the plain kind: multiprocessing can pass no other, and a Unix socket's file is its owner's to remove.
        self._copies = [socket(fileno=os.dup(each.fileno())) for each in sockets]
        self.asks: socket | None = None
        self._is_asked: socket | None = None
        if reports:
            self.asks, self._is_asked = socketpair()
        arguments = config, self._copies, self._far_end, self._is_asked
        self._process = SPAWN.Process(target=serve, args=arguments, name="threadserve-worker")

    def start(self) -> None:
        """Starts the process, which gets these listeners. To be called once."""
        # Starting it, as the first child would, unblocks the signals that it ignores itself. The others stay blocked
        # in it, and cannot end it.
        with blocked_signals():
            resource_tracker.ensure_running()
        with blocked_signals():
            self._process.start()
        self.pid = self._process.pid or 0
        # Now only the child has it, so that its end is the end of the connection.
        self._far_end.close()
        for copy in (*self._copies, self._is_asked):
            if copy is not None:
                copy.close()

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the process has ended."""
        return self._process.sentinel

    @property
    def exit_code(self) -> int | None:
        """None while it runs; the negative number of the signal that killed it."""
        return self._process.exitcode

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def waitables(self) -> list[Connection | int]:
        """For `multiprocessing.connection.wait`: what becomes readable when `receive` or the end is due."""
        return [self.sentinel] if self._at_end else [self.sentinel, self.connection]

    def receive(self) -> bool:
        """Takes in what the child has told; returns whether that was anything."""
        heard = False
        while not self._at_end and self.connection.poll():
            try:
                message = self.connection.recv()
            except (EOFError, OSError):
                self._at_end = True
                break
            heard = True
            self.ready = self.ready or message == READY
            self.wants_recycling = self.wants_recycling or message == RECYCLE
            if isinstance(message, Failure):
                self.failure = message
        return heard

    def stop(self) -> None:
        """Has the child end in order (SIGTERM)."""
        self._send(signal.SIGTERM)

    def hurry(self) -> None:
        """Has the child end at once."""
        self._send(HURRY)

    def reopen_log_files(self) -> None:
        """Has the child open its log files anew."""
        self._send(REOPEN)

    def kill(self) -> None:
        """Ends the child without its doing."""
        self._send(signal.SIGKILL)

    def join(self, timeout: float | None = None) -> bool:
        """Waits for the end, `timeout` seconds at most; returns whether it has come."""
        self._process.join(timeout)
        return not self.is_alive()

    def close(self) -> None:
        """Closes the connection, which to the child is the end of its starter."""
        self._at_end = True
        self.connection.close()

    def _send(self, number: int) -> None:
        # While it has not been waited for, the id cannot be anybody else's.
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


@contextmanager
def blocked_signals() -> Iterator[None]:
    """Keeps signals back while a child is born, which lets them in when it can deal with them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SENT_TO_ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check_can_be_sent(config: Config) -> None:
    """Raises `ConfigError` for a setting that a child process cannot be given."""
    for declared in fields(config):
        try:
            pickle.dumps(getattr(config, declared.name))
        except Exception as error:
            raise ConfigError(declared.name, f"it cannot be passed to another process: {error}") from error
