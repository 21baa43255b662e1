"""What programs use: `Server` and `run`.

Runs on the thread that calls it, which is the main thread for the command line. It owns the signal handlers while it
serves; everything else belongs to the `Serving` that it starts.
"""

import asyncio
import concurrent.futures
import contextvars
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from threadserve import logs
from threadserve.config import Config
from threadserve.loops import loop_factory
from threadserve.serving import Serving, StopFlags
from threadserve.signals import captured
from threadserve.sockets import Listeners
from threadserve.threads.hosts import BorrowedLoop, Host, LoopThread, Outcome
from threadserve.threads.loop_server import LoopServer


class Server:
    """A server for one configuration. Every attribute may be read, and the two flags set, from any thread.

    `started` tells that it serves. Setting `should_exit` stops it in order, and `force_exit` at once. `addresses` are
    those of the listeners, as `socket.getsockname` gives them.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._flags = StopFlags()
        self._serving: Serving | None = None
        logs.configure(config)

    @property
    def started(self) -> bool:
        """Whether the server has begun to serve."""
        return self._serving is not None and self._serving.started

    @property
    def addresses(self) -> list[Any]:
        """The addresses that it serves on."""
        return self._serving.addresses if self._serving is not None else []

    @property
    def should_exit(self) -> bool:
        """Whether the server is to stop in order."""
        return self._flags.should_exit

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._flags.should_exit = value
        self._wake()

    @property
    def force_exit(self) -> bool:
        """Whether the server is to stop without waiting for anything."""
        return self._flags.force_exit

    @force_exit.setter
    def force_exit(self, value: bool) -> None:
        self._flags.force_exit = value
        self._wake()

    def run(self, sockets: Listeners | None = None) -> None:
        """Serves until a signal, `should_exit` or a failure.

        `sockets` are bound TCP sockets to serve on in place of the configuration's host and port. Raises
        `ThreadserveError` when the server cannot start or go on, and `SystemExit` when a second signal ended it.
        """
        factory = loop_factory(self.config.loop)

        def make_host(server: LoopServer, on_end: Outcome) -> Host:
            return LoopThread(server, factory, on_end)

        owns_process = threading.current_thread() is threading.main_thread()
        with captured(self._on_stop_request) as signals, freezing() as freeze:
            ended = self._serve(self.config, make_host, sockets, freeze if owns_process else None)
        if self.force_exit and signals:
            exit_now(128 + signals[-1], clean=ended)

    async def serve(self, sockets: Listeners | None = None) -> None:
        """Serves as `run` does, with the first app instance on the running loop, and by default with that one only.

        When it is cancelled it stops in order before it goes, and at once when it is cancelled again. A signal that
        ended it is raised again at the end, for the program around it.
        """
        loop = asyncio.get_running_loop()
        factory = loop_factory(self.config.loop)
        config = self.config if self.config.threads else replace(self.config, threads=1)

        def make_host(server: LoopServer, on_end: Outcome) -> Host:
            return BorrowedLoop(server, loop, on_end) if server.number == 1 else LoopThread(server, factory, on_end)

        with captured(self._on_stop_request) as signals:
            await self._beside(lambda: self._serve(config, make_host, sockets, None))
        if signals:
            signal.raise_signal(signals[-1])

    def _serve(
        self,
        config: Config,
        make_host: Callable[[LoopServer, Outcome], Host],
        sockets: Listeners | None,
        on_ready: Callable[[], object] | None,
    ) -> bool:
        self._serving = None
        self._serving = Serving(config, make_host, sockets, self._flags, on_ready)
        return self._serving.run()

    async def _beside(self, call: Callable[[], object]) -> None:
        """Makes a call on a thread of its own while the running loop goes on."""
        outcome: concurrent.futures.Future[object] = concurrent.futures.Future()
        run = contextvars.Context().run
        thread = threading.Thread(target=run, args=(settle, outcome, call), name="threadserve-acceptor", daemon=True)
        thread.start()
        await self._wait_for(asyncio.wrap_future(outcome))

    async def _wait_for(self, ended: "asyncio.Future[object]") -> None:
        """Waits for the end of the server, to which being cancelled is a request to stop, and to hurry."""
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            if not ended.done():
                self._on_stop_request()
                await self._wait_for(ended)
            raise

    def _on_stop_request(self) -> None:
        """The first signal stops the server in order, the second at once."""
        if self.should_exit:
            self.force_exit = True
        else:
            self.should_exit = True

    def _wake(self) -> None:
        if self._serving is not None:
            self._serving.wake_threadsafe()


def run(app: Any, **settings: Any) -> None:
    """Serves an application, given as "module:attribute" or as an object, until a signal or a failure.

    `settings` are those of `Config`. Raises `ThreadserveError` when the server cannot start or go on.
    """
    Server(Config(app, **settings)).run()


@contextmanager
def freezing() -> Iterator[Callable[[], None]]:
    """Gives a function that takes every object there is out of later garbage collections; the end brings them back."""
    frozen = False

    def freeze() -> None:
        nonlocal frozen
        frozen = True
        gc.collect()
        gc.freeze()

    try:
        yield freeze
    finally:
        if frozen:
            gc.unfreeze()


def settle(outcome: "concurrent.futures.Future[object]", call: Callable[[], object]) -> None:
    """Makes a call and keeps what becomes of it."""
    try:
        outcome.set_result(call())
    except BaseException as error:
        outcome.set_exception(error)


def exit_now(code: int, *, clean: bool) -> None:
    """Ends the process with this code; without `clean`, past threads that never end and that exiting would wait for."""
    if clean:
        sys.exit(code)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
