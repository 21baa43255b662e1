"""`Server`, the server as programs use it, with the interface of Uvicorn's.

Runs on the thread that calls it, which is the main thread for the command line. With one loop thread the loop runs
there, and the `ServerRun` has a thread of its own. It owns the signal handlers while it serves; everything else belongs
to the `ServerRun` that it starts.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any, TypeVar

from threadserve.app.import_guard import is_import_running
from threadserve.compat.server import UvicornServer
from threadserve.config import Config
from threadserve.config.environment import load_environment
from threadserve.errors import ThreadserveError
from threadserve.http.bounds import Bounds
from threadserve.listening.tcp import Listeners
from threadserve.logging.configuring import configure_logging
from threadserve.observer import Observer
from threadserve.runtime.exiting import exit_now
from threadserve.runtime.garbage_collection import gc_freeze
from threadserve.runtime.loops import LoopFactory
from threadserve.runtime.signals import (
    call_program_handlers,
    deferring_interrupts,
    filter_unclaimed,
    handling_signals,
    has_other_stop_handler,
    reraise_signals,
)
from threadserve.server_run import ServerRun, StopFlags, noop
from threadserve.threads.futures import run_in_thread
from threadserve.threads.guarded_loops import guarded_loop_factory
from threadserve.threads.loop_group import MakeRunner
from threadserve.threads.loop_runners import CallingThread, ExternalLoop, LoopRunner, LoopThread, OnEnd
from threadserve.threads.loop_server import LoopServer

logger = logging.getLogger("threadserve.error")

T = TypeVar("T")

# The methods that a subclass may override: `serve`, and the steps of it in their order.
OVERRIDABLE_STEPS = ("serve", "startup", "main_loop", "on_tick", "shutdown")
MAIN_LOOP_TICK_SECONDS = 0.1


class Server(UvicornServer):
    """A server for one configuration. Any thread may read every attribute, and set the two flags.

    `started` tells that it serves. Setting `should_exit` stops it gracefully, and `force_exit` at once. `addresses` are
    those of the listeners, as `socket.getsockname` gives them. An `observer` is told of the server's state.
    `owns_process` says that the process serves and does nothing else: the application is imported before a loop runs,
    and if it blocks the main thread for good, the process ends without it.
    """

    # Timeouts and limits that no setting decides.
    bounds = Bounds()

    def __init__(self, config: Config, *, observer: Observer | None = None) -> None:
        self.config = config
        self.owns_process = False
        self.started = False
        self._should_exit = False
        # Set by `shutdown`, after which a program may call `startup` again.
        self._is_stopped = False
        self._observer = observer or Observer()
        self._flags = StopFlags()
        self._server_run: ServerRun | None = None
        self._signals: list[int] = []
        self._take_signals: Callable[[], object] = noop
        self._exit: BaseException | None = None
        self._startup: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._run_future: asyncio.Future[bool]
        load_environment(config)
        configure_logging(config)

    @property
    def addresses(self) -> list[Any]:
        """The addresses of the listeners."""
        return self._server_run.addresses if self._server_run is not None else []

    @property
    def should_exit(self) -> bool:
        """True if the server is to stop gracefully."""
        return self._should_exit

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._should_exit = value
        self._flags.should_exit = value
        self._wake()

    @property
    def force_exit(self) -> bool:
        """True if the server is to stop at once."""
        return self._flags.force_exit

    @force_exit.setter
    def force_exit(self, value: bool) -> None:
        self._flags.force_exit = value
        self._wake()

    def run(self, sockets: Listeners | None = None) -> None:
        """Serve until a signal, `should_exit` or a failure.

        `sockets` are bound sockets to serve on instead of those that the configuration asks for. Raises
        `ThreadserveError` if the server cannot start or go on, and `SystemExit` if a second signal terminated it, or if
        the first signal cut off a start-up. A subclass that overrides `serve` or a step of it is served on a loop made
        for that. Signals that stopped the server gracefully are passed on to the program's own handlers. Does nothing
        while an application is being imported.
        """
        if is_import_running():
            return None
        factory = guarded_loop_factory(self.config)
        if any(getattr(type(self), step) is not getattr(Server, step) for step in OVERRIDABLE_STEPS):
            with asyncio.Runner(loop_factory=factory) as runner:
                return runner.run(self.serve(sockets))
        is_alone = self.config.thread_count == 1 and not is_loop_running()
        self._startup = self._exit = None
        with self.capture_signals(), gc_freeze() as freeze:
            ended = (self._run_on_this_thread if is_alone else self._run_threads)(factory, sockets, freeze)
        if self._exit is not None:
            raise self._exit
        if self._signals and (self._has_cut_off or not ended):
            exit_now(self._exit_code, clean=ended)
        call_program_handlers(self._signals)
        return None

    def _run_threads(self, factory: LoopFactory, sockets: Listeners | None, on_ready: Callable[[], None]) -> bool:
        """Serve with a thread for each loop. Return whether all of them ended."""

        def make_runner(server: LoopServer, on_end: OnEnd) -> LoopRunner:
            return LoopThread(server, factory, on_end)

        server_run = self._make_run(self.config, make_runner, sockets)
        server_run.on_ready = on_ready
        return server_run.run()

    def _run_on_this_thread(
        self, factory: LoopFactory, sockets: Listeners | None, on_ready: Callable[[], None]
    ) -> bool:
        """Serve with the loop on this thread and the rest on another. Return whether the loop ended."""

        def prepare() -> None:
            if self.owns_process:
                server_run.import_threadsafe()

        def serve() -> bool:
            try:
                ended = server_run.run()
            except ThreadserveError as error:
                if self._is_stuck(thread):
                    logger.critical("%s", error)
                    exit_now(error.exit_code, clean=False)
                raise
            else:
                if self._is_stuck(thread):
                    exit_now(self._exit_code, clean=False)
                return ended
            finally:
                thread.finish_threadsafe()

        def on_interrupt() -> None:
            self._exit = KeyboardInterrupt()
            self._request_stop()

        thread = CallingThread(factory, prepare, self._is_exit)
        server_run = self._make_run(self.config, thread.make_runner, sockets)
        server_run.on_ready = on_ready
        server_run.on_loaded = self._take_signals
        with deferring_interrupts(on_interrupt):
            outcome, acceptor = run_in_thread(serve)
            thread.run()
            acceptor.join()
        return outcome.result()

    async def serve(self, sockets: Listeners | None = None) -> None:
        """Serve as `run` does, with the first app instance on the running loop, and by default with that one only.

        When cancelled it stops gracefully before it returns, and at once when cancelled again. Signals that ended it
        are raised again at the end, for the program around it.
        """
        with self.capture_signals():
            await self.startup(sockets)
            await self.main_loop()
            await self.shutdown(sockets)
        reraise_signals(self._signals)

    async def startup(self, sockets: Listeners | None = None) -> None:
        """Start to serve: the first step of `serve`. Raises what prevents that."""
        loop = asyncio.get_running_loop()
        config = self.config if self.config.threads else replace(self.config, threads=1)
        factory = guarded_loop_factory(config)

        def make_runner(server: LoopServer, on_end: OnEnd) -> LoopRunner:
            return ExternalLoop(server, loop, on_end) if server.number == 1 else LoopThread(server, factory, on_end)

        started = asyncio.Event()
        self._startup = loop, started
        self.started = self._is_stopped = False
        self._flags.should_exit = self.should_exit
        outcome, _ = run_in_thread(lambda: self._make_run(config, make_runner, sockets).run())
        self._run_future = asyncio.wrap_future(outcome)
        self._run_future.add_done_callback(lambda ended: started.set())
        await self._wait_for(asyncio.ensure_future(started.wait()))
        if self._run_future.done():
            self._run_future.result()

    async def main_loop(self) -> None:
        """Wait until the server is to stop, or `on_tick` returns True: the second step of `serve`."""
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            await self._wait_for(asyncio.ensure_future(self._tick()))

    async def _tick(self) -> None:
        if self._is_stopped:
            await asyncio.sleep(MAIN_LOOP_TICK_SECONDS)
        else:
            await asyncio.wait([self._run_future], timeout=MAIN_LOOP_TICK_SECONDS)

    async def on_tick(self, counter: int) -> bool:
        """Return whether the server is to stop. Called ten times a second by `main_loop`; programs may override it."""
        return self.should_exit or (self._run_future.done() and not self._is_stopped)

    async def shutdown(self, sockets: Listeners | None = None) -> None:
        """Stop the server gracefully: the last step of `serve`. It may be started again afterwards."""
        self._is_stopped = True
        self._flags.should_exit = True
        self._wake()
        await self._wait_for(self._run_future)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: the first one stops the server gracefully, the second at once. Programs may override it."""
        self._signals.append(sig)
        self._request_stop()

    def handle_upkeep(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal of `UPKEEP_SIGNALS` once the server serves."""
        if self._server_run is not None:
            self._server_run.handle_upkeep_threadsafe(sig)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals by `handle_exit` within the context, on the main thread only. Programs may override it."""
        self._signals.clear()
        with (
            handling_signals(self.handle_exit, self._observer.stop_signals) as self._take_signals,
            handling_signals(self.handle_upkeep, self._upkeep_signals),
        ):
            yield

    def _make_run(self, config: Config, make_runner: MakeRunner, sockets: Listeners | None) -> ServerRun:
        self._server_run = None
        self.started = False
        self._server_run = ServerRun(config, make_runner, sockets, self._flags, self._observer, self.bounds)
        self._server_run.on_started = self._on_started
        return self._server_run

    @property
    def _has_cut_off(self) -> bool:
        return self.force_exit or (self._server_run is not None and self._server_run.has_cut_off_start)

    @property
    def _exit_code(self) -> int:
        return 128 + self._signals[-1] if self._signals and self._has_cut_off else 0

    def _is_stuck(self, thread: CallingThread) -> bool:
        """Return whether the application blocks for good the thread that is to end the process."""
        has_to_end = bool(self._signals) or self.owns_process or self._observer.is_supervised
        return has_to_end and thread.is_blocked_threadsafe()

    def _is_exit(self, error: BaseException) -> bool:
        """Return whether a signal handler of the program's asks for the end by this exception; begin that end.

        The same exception from the application only kills the loop.
        """
        if not isinstance(error, (SystemExit, KeyboardInterrupt)) or not has_other_stop_handler((self, self._observer)):
            return False
        self._exit = error
        self._request_stop()
        return True

    def _on_started(self) -> None:
        self.started = True
        if self._startup is not None:
            loop, started = self._startup
            loop.call_soon_threadsafe(started.set)

    async def _wait_for(self, step: "asyncio.Future[T]") -> None:
        """Wait for a step of the server. A cancellation asks it to stop, a second one to stop at once."""
        try:
            await asyncio.shield(step)
        except asyncio.CancelledError:
            if not self._run_future.done():
                self._request_stop()
                await self._wait_for(self._run_future)
            raise

    def _request_stop(self) -> None:
        """Stop the server gracefully at the first call, at once at the second."""
        if self.should_exit:
            self.force_exit = True
        else:
            self.should_exit = True

    @property
    def _upkeep_signals(self) -> tuple[int, ...]:
        """The signals that reopen log files and reload certificates, without those that the program handles itself."""
        numbers = self._observer.upkeep_signals
        return numbers if self._observer.is_supervised else filter_unclaimed(numbers)

    def _wake(self) -> None:
        if self._server_run is not None:
            self._server_run.wake_threadsafe()


def is_loop_running() -> bool:
    """Return whether the calling thread runs a loop already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
