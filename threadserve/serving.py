"""The story of one process: start, serve, drain, stop.

Runs on the main thread, or on a thread of its own where the server is embedded in a running loop. It owns the acceptor,
the group of loops, the listeners and the access-log writer; it never runs application code and never touches a
connection. The flags and methods that other threads may use are named.
"""

import logging
import os
import random
import socket
import time
from collections.abc import Callable
from typing import Any

from threadserve.access_log import AccessLogWriter
from threadserve.banner import log_start
from threadserve.config import Config
from threadserve.gil import GilGuard
from threadserve.http.concurrency import ConcurrencyLimit
from threadserve.interfaces.loading import AppSource
from threadserve.sockets import Listeners, bind_all, bind_error, listeners_per_loop, share_port
from threadserve.threads.acceptor import Acceptor
from threadserve.threads.distribution import chooser
from threadserve.threads.group import LoopGroup, MakeHost
from threadserve.threads.loop_server import Shared

logger = logging.getLogger("threadserve.error")

TICK = 1.0


class StopFlags:
    """How the server is asked to end. Any thread sets them, and wakes the server, which reads them."""

    should_exit = False
    force_exit = False


class Serving:
    """One run of a server. The public attributes may be read from any thread.

    `on_ready` is called once, when the application is ready on every loop and before the first connection is accepted.
    Raises `ThreadserveError` when a setting or an address cannot be used.
    """

    def __init__(
        self,
        config: Config,
        make_host: MakeHost,
        sockets: Listeners | None,
        flags: StopFlags,
        on_ready: Callable[[], object] | None,
    ) -> None:
        self.started = False
        self.addresses: list[Any] = []
        thread_count = config.thread_count
        self._listeners = bind_all(config.host, config.port) if sockets is None else adopted(sockets)
        self._config = config
        self._flags = flags
        self._on_ready = on_ready
        self._guard = GilGuard()
        self._log_writer = AccessLogWriter()
        self._source = AppSource(config)
        self._acceptor = Acceptor(chooser(config.distribute))
        shared = Shared(
            config,
            self._source,
            self._log_writer if config.access_log else None,
            ConcurrencyLimit(config.limit_concurrency) if config.limit_concurrency else None,
        )
        self._group = LoopGroup(shared, thread_count, make_host, self._acceptor)

    def wake_threadsafe(self) -> None:
        """Has the flags looked at now."""
        self._acceptor.wake_threadsafe()

    def run(self) -> bool:
        """Serves to the end. Returns whether every loop ended; raises `ThreadserveError` for a failure."""
        self._guard.install()
        self._log_writer.start()
        try:
            self._start()
            self._watch()
        finally:
            ended = self._stop()
        if self._group.failure is not None:
            raise self._group.failure
        if self.started:
            logger.info("Finished server process [%d]", os.getpid())
        return ended

    def _start(self) -> None:
        """Starts the loops, and listens once the application is ready on every one of them."""
        self._group.start()
        while not (self._group.ready or self._group.failure or self._flags.should_exit):
            self._acceptor.step(TICK)
            self._group.check()
        if self._group.ready:
            if self._on_ready is not None:
                self._on_ready()
            self._listen()
            self.addresses = [listener.getsockname() for listener in self._listeners]
            self._guard.check()
            logger.info("Started server process [%d]", os.getpid())
            log_start(self._config, self._source, self.addresses)
            self.started = True

    def _listen(self) -> None:
        for listener in self._listeners:
            start_listening(listener, self._config.backlog)
        per_loop = listeners_per_loop(self._listeners, self._config.thread_count, self._config.distribute)
        for siblings in per_loop[1:]:
            for sibling in siblings:
                start_listening(sibling, self._config.backlog)
        if per_loop:
            self._group.listen(per_loop)
        else:
            self._acceptor.listen(self._listeners)

    def _watch(self) -> None:
        """Accepts, and looks after the loops, until there is a reason to stop."""
        limit = self._request_limit()
        next_look = time.monotonic() + TICK
        while not (self._flags.should_exit or self._group.failure):
            self._acceptor.step(TICK / 10 if limit else TICK)
            self._group.check()
            if limit and self._group.requests() >= limit:
                logger.warning("Maximum request limit of %d exceeded. Terminating process.", limit)
                return
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + TICK
                self._guard.check()

    def _request_limit(self) -> int:
        """After how many requests to stop; 0 is never."""
        if not self._config.limit_max_requests:
            return 0
        return self._config.limit_max_requests + random.randint(0, self._config.limit_max_requests_jitter)

    def _stop(self) -> bool:
        """Stops accepting, lets the loops finish, and closes what is left. Returns whether every loop ended."""
        if self._group.failure is None:
            logger.info("Shutting down")
        self._acceptor.stop_listening()
        ended = self._group.stop(self._stop_condition())
        self._acceptor.close()
        for listener in self._listeners:
            listener.close()
        self._guard.uninstall()
        self._log_writer.stop()
        return ended

    def _stop_condition(self) -> Callable[[], bool]:
        """When to wait no longer for the loops: a start-up that goes on has as long as requests have, which look after
        that themselves."""
        if self.started:
            return lambda: self._flags.force_exit
        deadline = time.monotonic() + self._config.timeout_graceful_shutdown
        return lambda: self._flags.force_exit or time.monotonic() >= deadline


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
        raise bind_error(listener.getsockname(), error) from error
    share_port(listener)
