"""The story of one process: start, serve, drain, stop.

Runs on the main thread, or on a thread of its own where the server is embedded in a running loop. It owns the acceptor,
the group of loops, the listeners and the access-log writer; it never runs application code and never touches a
connection. The flags and methods that other threads may use are named.
"""

import logging
import os
import random
import time
from typing import Any

from threadserve.access_log import AccessLogWriter
from threadserve.banner import log_start
from threadserve.config import Config
from threadserve.gil import GilGuard
from threadserve.http.concurrency import ConcurrencyLimit
from threadserve.interfaces.loading import AppSource
from threadserve.sockets import Listeners, bind_all, listeners_per_loop
from threadserve.threads.acceptor import Acceptor
from threadserve.threads.distribution import chooser
from threadserve.threads.group import LoopGroup, MakeHost
from threadserve.threads.loop_server import Shared

logger = logging.getLogger("threadserve.error")

TICK = 1.0


class Serving:
    """One run of a server. The public attributes may be used from any thread."""

    def __init__(self, config: Config, make_host: MakeHost, sockets: Listeners | None) -> None:
        self.should_exit = False
        self.force_exit = False
        self.started = False
        self.addresses: list[Any] = []
        self._listeners = bind_all(config.host, config.port) if sockets is None else sockets
        self._config = config
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
        self._group = LoopGroup(shared, config.thread_count, make_host, self._acceptor)

    def wake_threadsafe(self) -> None:
        """Has the flags looked at now."""
        self._acceptor.wake_threadsafe()

    def run(self) -> bool:
        """Serves to the end. Returns whether every loop ended; raises `ThreadserveError` for a failure."""
        logger.info("Started server process [%d]", os.getpid())
        self._guard.install()
        self._log_writer.start()
        try:
            self._start()
            self._watch()
        finally:
            ended = self._stop()
        if self._group.failure is not None:
            raise self._group.failure
        logger.info("Finished server process [%d]", os.getpid())
        return ended

    def _start(self) -> None:
        """Starts the loops, and listens once the application is ready on every one of them."""
        self._group.start()
        while not (self._group.ready or self._group.failure or self.should_exit):
            self._acceptor.step(TICK)
            self._group.check()
        if self._group.ready:
            self._listen()
            self.addresses = [listener.getsockname() for listener in self._listeners]
            self._guard.check()
            log_start(self._config, self._source, self.addresses)
            self.started = True

    def _listen(self) -> None:
        per_loop = listeners_per_loop(self._listeners, self._config.thread_count, self._config.distribute)
        for listener in {*self._listeners, *(own for listeners in per_loop for own in listeners)}:
            listener.listen(self._config.backlog)
        if per_loop:
            self._group.listen(per_loop)
        else:
            self._acceptor.listen(self._listeners)

    def _watch(self) -> None:
        """Accepts, and looks after the loops, until there is a reason to stop."""
        limit = self._request_limit()
        next_look = time.monotonic() + TICK
        while not (self.should_exit or self._group.failure):
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
        if self.started:
            logger.info("Shutting down")
        self.should_exit = True
        self._acceptor.stop_listening()
        ended = self._group.stop(lambda: self.force_exit)
        self._acceptor.close()
        for listener in self._listeners:
            listener.close()
        self._guard.uninstall()
        self._log_writer.stop()
        return ended
