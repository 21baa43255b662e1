"""What programs use: `Server`, with the surface that Uvicorn's has.

Runs on the thread that calls it, which is the main thread for the command line. With one thread that is where the loop
runs, and the `Serving` has a thread of its own. It owns the signal handlers while it serves; everything else belongs to
the `Serving` that it starts.
"""

import asyncio
import concurrent.futures
import contextvars
import gc
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any, NamedTuple, TypeVar

from threadserve.app.import_guard import is_import_running
from threadserve.config import Config
from threadserve.config.environment import load_environment
from threadserve.errors import ThreadserveError
from threadserve.http.bounds import Bounds
from threadserve.listening.tcp import Listeners
from threadserve.logging.configuring import configure_logging
from threadserve.runtime.exiting import exit_now
from threadserve.runtime.loops import LoopFactory
from threadserve.runtime.signals import (
    call_program_handlers,
    deferring_interrupts,
    filter_unclaimed,
    handling_signals,
    has_other_stop_handler,
    is_main_thread,
    reraise_signals,
)
from threadserve.serving import Observer, Serving, StopFlags, nothing
from threadserve.threads.group import MakeHost
from threadserve.threads.guarded_loops import serving_loops
from threadserve.threads.hosts import BorrowedLoop, CallingThread, Host, LoopThread, Outcome
from threadserve.threads.loop_server import LoopServer

logger = logging.getLogger("threadserve.error")

T = TypeVar("T")

# What a subclass may do in its own way, in their order within the first.
STEPS = ("serve", "startup", "main_loop", "on_tick", "shutdown")
TICK = 0.1


class BoundSockets(NamedTuple):
    """The listening sockets, as `asyncio.Server` has them."""

    sockets: tuple[socket.socket, ...]


class Server:
    """A server for one configuration. Every attribute may be read, and the two flags set, from any thread.

    `started` tells that it serves. Setting `should_exit` stops it in order, and `force_exit` at once. `addresses` are
    those of the listeners, as `socket.getsockname` gives them. An `observer` is told how the server is.
    `owns_process` says that the process is there for this server alone: the application is imported before a loop runs,
    and when it keeps the main thread for good the process ends without it.
    """

    # What no setting decides.
    bounds = Bounds()

    def __init__(self, config: Config, *, observer: Observer | None = None) -> None:
        self.config = config
        self.owns_process = False
        self.started = False
        self.lifespan: Any = None
        self._should_exit = False
        # By `shutdown` alone, after which a program may call `startup` again.
        self._is_stopped = False
        self._observer = observer or Observer()
        self._flags = StopFlags()
        self._serving: Serving | None = None
        self._signals: list[int] = []
        self._take_signals: Callable[[], object] = nothing
        self._exit: BaseException | None = None
        self._startup: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._ended: asyncio.Future[Any]
        load_environment(config)
        configure_logging(config)

    @property
    def addresses(self) -> list[Any]:
        """The addresses that it serves on."""
        return self._serving.addresses if self._serving is not None else []

    @property
    def servers(self) -> list["BoundSockets"]:
        """What Uvicorn's programs find the address in: an object for each listener, with that one in `sockets`."""
        return [BoundSockets((listener,)) for listener in self._serving.listeners] if self._serving is not None else []

    @property
    def should_exit(self) -> bool:
        """Whether the server is to stop in order."""
        return self._should_exit

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._should_exit = value
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

        `sockets` are bound sockets to serve on in place of those that the configuration asks for. Raises
        `ThreadserveError` when the server cannot start or go on, and `SystemExit` when a second signal ended it,
        or a first one a start-up that did not end by itself.
        A subclass that has `serve` or a step of it in its own way is served so, on a loop made for it. Handlers of the
        program's own are called for the signals that stopped it in order. Does nothing while the application is
        imported to be served.
        """
        if is_import_running():
            return None
        factory = serving_loops(self.config)
        if any(getattr(type(self), step) is not getattr(Server, step) for step in STEPS):
            with asyncio.Runner(loop_factory=factory) as runner:
                return runner.run(self.serve(sockets))
        is_alone = self.config.thread_count == 1 and not is_loop_running()
        self._startup = self._exit = None
        with self.capture_signals(), freezing() as freeze:
            ended = (self._run_here if is_alone else self._run_threads)(factory, sockets, freeze)
        if self._exit is not None:
            raise self._exit
        if self._signals and (self._is_cut_off or not ended):
            exit_now(self._exit_code, clean=ended)
        call_program_handlers(self._signals)
        return None

    def _run_threads(self, factory: LoopFactory, sockets: Listeners | None, on_ready: Callable[[], None]) -> bool:
        """Serves with a thread for each loop. Returns whether all of them ended."""

        def make_host(server: LoopServer, on_end: Outcome) -> Host:
            return LoopThread(server, factory, on_end)

        serving = self._prepare(self.config, make_host, sockets)
        serving.on_ready = on_ready
        return serving.run()

    def _run_here(self, factory: LoopFactory, sockets: Listeners | None, on_ready: Callable[[], None]) -> bool:
        """Serves with the loop on this thread, and everything else on another. Returns whether the loop ended."""

        def prepare() -> None:
            if self.owns_process:
                serving.import_threadsafe()

        def serve() -> bool:
            try:
                ended = serving.run()
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
                thread.let_go_threadsafe()

        def on_interrupt() -> None:
            self._exit = KeyboardInterrupt()
            self._on_stop_request()

        thread = CallingThread(factory, prepare, self._is_exit)
        serving = self._prepare(self.config, thread.host, sockets)
        serving.on_ready = on_ready
        serving.on_loaded = self._take_signals
        with deferring_interrupts(on_interrupt):
            outcome, acceptor = beside(serve)
            thread.run()
            acceptor.join()
        return outcome.result()

    async def serve(self, sockets: Listeners | None = None) -> None:
        """Serves as `run` does, with the first app instance on the running loop, and by default with that one only.

        When it is cancelled it stops in order before it goes, and at once when it is cancelled again. The signals that
        ended it are raised again at the end, for the program around it.
        """
        with self.capture_signals():
            await self.startup(sockets)
            await self.main_loop()
            await self.shutdown(sockets)
        reraise_signals(self._signals)

    async def startup(self, sockets: Listeners | None = None) -> None:
        """The first step of `serve`: returns when the server serves. Raises what keeps it from that."""
        loop = asyncio.get_running_loop()
        config = self.config if self.config.threads else replace(self.config, threads=1)
        factory = serving_loops(config)

        def make_host(server: LoopServer, on_end: Outcome) -> Host:
            return BorrowedLoop(server, loop, on_end) if server.number == 1 else LoopThread(server, factory, on_end)

        started = asyncio.Event()
        self._startup = loop, started
        self.started = self._is_stopped = False
        self._flags.should_exit = self.should_exit
        outcome, _ = beside(lambda: self._prepare(config, make_host, sockets).run())
        self._ended = asyncio.wrap_future(outcome)
        self._ended.add_done_callback(lambda ended: started.set())
        await self._wait_for(asyncio.ensure_future(started.wait()))
        if self._ended.done():
            self._ended.result()

    async def main_loop(self) -> None:
        """The second step of `serve`: returns when the server is to stop, or `on_tick` says so."""
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            await self._wait_for(asyncio.ensure_future(self._tick()))

    async def _tick(self) -> None:
        if self._is_stopped:
            await asyncio.sleep(TICK)
        else:
            await asyncio.wait([self._ended], timeout=TICK)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second by `main_loop`. Returns whether the server is to stop. Programs may override it."""
        return self.should_exit or (self._ended.done() and not self._is_stopped)

    async def shutdown(self, sockets: Listeners | None = None) -> None:
        """The last step of `serve`: stops the server in order where it has not stopped, to be started again perhaps."""
        self._is_stopped = True
        self._flags.should_exit = True
        self._wake()
        await self._wait_for(self._ended)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handles a signal: the first stops the server in order, the second at once. Programs may override it."""
        self._signals.append(sig)
        self._on_stop_request()

    def handle_upkeep(self, sig: int, frame: FrameType | None) -> None:
        """Handles a signal of `UPKEEP`: has what it asks for done by a server that serves, or will."""
        if self._serving is not None:
            self._serving.look_after_threadsafe(sig)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Has `handle_exit` called for signals, on the main thread. Programs that handle them override it."""
        self._signals.clear()
        with (
            handling_signals(self.handle_exit, self._observer.stop_signals) as self._take_signals,
            handling_signals(self.handle_upkeep, self._upkeep_signals),
        ):
            yield

    def _prepare(self, config: Config, make_host: MakeHost, sockets: Listeners | None) -> Serving:
        self._serving = None
        self.started = False
        self._serving = Serving(config, make_host, sockets, self._flags, self._observer, self.bounds)
        self._serving.on_started = self._on_started
        return self._serving

    @property
    def _is_cut_off(self) -> bool:
        return self.force_exit or (self._serving is not None and self._serving.has_cut_off_start)

    @property
    def _exit_code(self) -> int:
        return 128 + self._signals[-1] if self._signals and self._is_cut_off else 0

    def _is_stuck(self, thread: CallingThread) -> bool:
        """Whether the thread that is to end the process never will, for the application keeps it."""
        has_to_end = bool(self._signals) or self.owns_process or self._observer.is_supervised
        return has_to_end and thread.is_held_up_threadsafe()

    def _is_exit(self, error: BaseException) -> bool:
        """Whether what has come out of a loop is how a handler of somebody else's asks for the end, which begins then.

        What an application raises by itself only kills the loop.
        """
        if not isinstance(error, (SystemExit, KeyboardInterrupt)) or not has_other_stop_handler((self, self._observer)):
            return False
        self._exit = error
        self._on_stop_request()
        return True

    def _on_started(self) -> None:
        self.started = True
        if self._startup is not None:
            loop, started = self._startup
            loop.call_soon_threadsafe(started.set)

    async def _wait_for(self, step: "asyncio.Future[Any]") -> None:
        """Waits for a step of the server, to which being cancelled is a request to stop, and to hurry."""
        try:
            await asyncio.shield(step)
        except asyncio.CancelledError:
            if not self._ended.done():
                self._on_stop_request()
                await self._wait_for(self._ended)
            raise

    def _on_stop_request(self) -> None:
        """The first request stops the server in order, the second at once."""
        if self.should_exit:
            self.force_exit = True
        else:
            self.should_exit = True

    @property
    def _upkeep_signals(self) -> tuple[int, ...]:
        """What has log files and certificates opened anew, unless the program has a meaning of its own for it."""
        numbers = self._observer.upkeep_signals
        return numbers if self._observer.is_supervised else filter_unclaimed(numbers)

    def _wake(self) -> None:
        if self._serving is not None:
            self._serving.wake_threadsafe()


@contextmanager
def freezing() -> Iterator[Callable[[], None]]:
    """Gives a function that takes every object there is out of later garbage collections; the end brings them back.

    On another thread than the main one, which serves beside other things, that function does nothing.
    """
    is_main = is_main_thread()
    frozen = False

    def freeze() -> None:
        nonlocal frozen
        if is_main:
            frozen = True
            gc.collect()
            gc.freeze()

    try:
        yield freeze
    finally:
        if frozen:
            gc.unfreeze()


def is_loop_running() -> bool:
    """Whether the calling thread runs a loop already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def beside(call: Callable[[], T]) -> tuple["concurrent.futures.Future[T]", threading.Thread]:
    """Makes a call on a thread of its own while the calling one goes on; the future gets its outcome."""
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    run = contextvars.copy_context().run
    thread = threading.Thread(target=run, args=(settle, outcome, call), name="threadserve-acceptor", daemon=True)
    thread.start()
    return outcome, thread


def settle(outcome: "concurrent.futures.Future[T]", call: Callable[[], T]) -> None:
    """Makes a call and keeps what becomes of it."""
    try:
        outcome.set_result(call())
    except BaseException as error:
        outcome.set_exception(error)
