"""Starting and stopping the application as the server's loops would, without anything to serve.

Runs on the main thread of the process that checks, which makes and joins the loops' threads; with one thread the loop
is on the main thread itself, as the server's. Each performance is its loop's thread's, and read by the others. It
listens nowhere.
"""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum

from threadserve.app.lifespan import STOPPING_KEY, Lifespan
from threadserve.app.loading import AppLoader
from threadserve.app.startups import StartupCoordinator
from threadserve.config import Config
from threadserve.runtime.loops import LoopFactory
from threadserve.threads.stacks import root_of_this_thread
from threadserve.types import ASGIApp

# More of them would only do the same again.
MAX_INSTANCES = 2


class Stage(StrEnum):
    """What an instance has not done before its end: how far it has come."""

    LOADING = "been loaded"
    STARTING = "started up"
    STOPPING = "shut down"


class InstanceRun:
    """One loop's part. `failure` is what has ended it before its time, at the stage `stage`."""

    def __init__(
        self,
        config: Config,
        source: AppLoader,
        start_ups: StartupCoordinator,
        number: int,
        on_stage: Callable[["InstanceRun"], object],
    ) -> None:
        self.number = number
        self.stage = Stage.LOADING
        self.app: ASGIApp | None = None
        self.failure: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None
        self.thread_root = ""
        self._config = config
        self._source = source
        self._start_ups = start_ups
        self._on_stage = on_stage

    def enter(self, stage: Stage) -> None:
        """Tells that the calling thread begins with a stage."""
        self.stage = stage
        self.thread = threading.current_thread()
        self.thread_root = root_of_this_thread()
        self._on_stage(self)

    def import_first(self) -> None:
        """Imports the application before there is a loop. What is wrong with it is raised by `perform`."""
        self.enter(Stage.LOADING)
        self._source.import_threadsafe()

    async def perform(self, when_up: Callable[[], Awaitable[None]]) -> None:
        """Loads the application on the running loop, has it start up, awaits `when_up()`, and has it shut down."""
        self.loop = asyncio.get_running_loop()
        self.enter(Stage.LOADING)
        app = self.app = self._source.load_threadsafe(self.number)
        self.enter(Stage.STARTING)
        mode = "off" if self._source.interface == "wsgi" else self._config.lifespan
        lifespan = Lifespan(app, mode, {STOPPING_KEY: asyncio.Event()}, quiet=self.number > 1)
        with self._start_ups.of_threadsafe(self.number, app).watched_threadsafe(self.number, app):
            await lifespan.startup()
        await when_up()
        self.enter(Stage.STOPPING)
        await lifespan.shutdown(self._config.timeout_graceful_shutdown)


class InstanceThread:
    """A thread with a loop for one performance. Every method is for the thread that has made it."""

    def __init__(self, performance: InstanceRun, factory: LoopFactory) -> None:
        self._performance = performance
        self._factory = factory
        self._may_end = asyncio.Event()
        self._is_settled = threading.Event()
        run = contextvars.copy_context().run
        # A daemon, and in the context of the program, as the server's.
        self._thread = threading.Thread(
            target=run, args=(self._run,), name=f"threadserve-{performance.number}", daemon=True
        )

    def start(self) -> None:
        """Returns when the application is up on this loop, or has failed."""
        self._thread.start()
        self._is_settled.wait()

    def end(self) -> None:
        """Has the application shut down if it is up; returns when the loop is closed."""
        if self._performance.loop is not None:
            # Closed where the performance has failed.
            with suppress(RuntimeError):
                self._performance.loop.call_soon_threadsafe(self._may_end.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._factory) as runner:
                self._perform(runner)
        finally:
            self._is_settled.set()

    def _perform(self, runner: asyncio.Runner) -> None:
        try:
            runner.run(self._performance.perform(self._when_up))
        except BaseException as error:
            self._performance.failure = error
        finally:
            self._is_settled.set()

    async def _when_up(self) -> None:
        self._is_settled.set()
        await self._may_end.wait()


class DryRun:
    """All performances: one after another until one fails, and shut down in the same order.

    `on_up` is called when all are up or one has failed, with those that are up still up. `on_stage` is called on each
    loop's thread as it begins with a stage.
    """

    def __init__(
        self,
        config: Config,
        source: AppLoader,
        on_stage: Callable[[InstanceRun], object],
        on_up: Callable[[], object],
    ) -> None:
        start_ups = StartupCoordinator(config)
        count = min(MAX_INSTANCES, config.thread_count)
        self._all = [InstanceRun(config, source, start_ups, number, on_stage) for number in range(1, count + 1)]
        self._config = config
        self._on_up = on_up
        self.begun: list[InstanceRun] = []

    @property
    def failed(self) -> InstanceRun | None:
        """The performance that has failed."""
        return next((each for each in self.begun if each.failure is not None), None)

    def run(self, factory: LoopFactory) -> None:
        """Goes through all of it, on loops that `factory` makes."""
        if len(self._all) == 1:
            self._run_here(self._all[0], factory)
            return
        threads: list[InstanceThread] = []
        for performance in self._all:
            self.begun.append(performance)
            threads.append(InstanceThread(performance, factory))
            threads[-1].start()
            if performance.failure is not None:
                break
        self._on_up()
        for thread in threads:
            thread.end()

    def _run_here(self, performance: InstanceRun, factory: LoopFactory) -> None:
        async def when_up() -> None:
            self._on_up()

        self.begun.append(performance)
        try:
            # Where the server is to be the only process; in others the loop runs during the import.
            if self._config.workers is None and not self._config.use_subprocess:
                performance.import_first()
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(performance.perform(when_up))
        except BaseException as error:
            performance.failure = error
