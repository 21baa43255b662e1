"""A dry run: the application starts and stops as on the server's loops, but serves nothing.

Runs on the main thread of the inspected process, which starts and joins the loops' threads; with one thread the loop
runs on the main thread itself, as the server's does. Each instance run belongs to its loop's thread, and other threads
read it. It listens nowhere.
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
from threadserve.runtime.stacks import find_root_function
from threadserve.types import ASGIApp

# Further instances would only repeat what the second one does.
MAX_INSTANCES = 2


class Stage(StrEnum):
    """The stages of an instance, in words that end "has not ..."."""

    LOADING = "been loaded"
    STARTING = "started up"
    STOPPING = "shut down"


class InstanceRun:
    """One instance's start and stop on its loop. `failure` is the error that ended it, at the stage `stage`."""

    def __init__(
        self,
        config: Config,
        loader: AppLoader,
        startups: StartupCoordinator,
        number: int,
        on_stage: Callable[["InstanceRun"], object],
    ) -> None:
        self.number = number
        self.stage = Stage.LOADING
        self.app: ASGIApp | None = None
        self.failure: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None
        self.root_function = ""
        self._config = config
        self._loader = loader
        self._startups = startups
        self._on_stage = on_stage

    def begin_stage(self, stage: Stage) -> None:
        """Begin a stage on the calling thread and report it."""
        self.stage = stage
        self.thread = threading.current_thread()
        self.root_function = find_root_function()
        self._on_stage(self)

    def import_first(self) -> None:
        """Import the application before there is a loop. An error is raised later, by `run`."""
        self.begin_stage(Stage.LOADING)
        self._loader.import_threadsafe()

    async def run(self, when_up: Callable[[], Awaitable[None]]) -> None:
        """Load the application on the running loop, start it up, await `when_up()`, and shut it down."""
        self.loop = asyncio.get_running_loop()
        self.begin_stage(Stage.LOADING)
        app = self.app = self._loader.load_threadsafe(self.number)
        self.begin_stage(Stage.STARTING)
        mode = "off" if self._loader.interface == "wsgi" else self._config.lifespan
        lifespan = Lifespan(app, mode, {STOPPING_KEY: asyncio.Event()}, quiet=self.number > 1)
        with self._startups.register_threadsafe(self.number, app).watch_threadsafe(self.number, app):
            await lifespan.startup()
        await when_up()
        self.begin_stage(Stage.STOPPING)
        await lifespan.shutdown(self._config.timeout_graceful_shutdown)


class InstanceThread:
    """A thread with a loop for one instance run. Only the thread that made it may call its methods."""

    def __init__(self, instance_run: InstanceRun, factory: LoopFactory) -> None:
        self._instance_run = instance_run
        self._factory = factory
        self._may_end = asyncio.Event()
        self._is_up_or_failed = threading.Event()
        run = contextvars.copy_context().run
        # A daemon, in the program's context, as the server's threads are.
        self._thread = threading.Thread(
            target=run, args=(self._run,), name=f"threadserve-{instance_run.number}", daemon=True
        )

    def start(self) -> None:
        """Start the thread; return when the application is up or has failed."""
        self._thread.start()
        self._is_up_or_failed.wait()

    def end(self) -> None:
        """Let the application shut down if it is up, and return when the loop is closed."""
        if self._instance_run.loop is not None:
            # A RuntimeError says that the loop is closed, as it is after a failure.
            with suppress(RuntimeError):
                self._instance_run.loop.call_soon_threadsafe(self._may_end.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._factory) as runner:
                self._run_instance(runner)
        finally:
            self._is_up_or_failed.set()

    def _run_instance(self, runner: asyncio.Runner) -> None:
        try:
            runner.run(self._instance_run.run(self._wait_to_end))
        except BaseException as error:
            self._instance_run.failure = error
        finally:
            self._is_up_or_failed.set()

    async def _wait_to_end(self) -> None:
        self._is_up_or_failed.set()
        await self._may_end.wait()


class DryRun:
    """The runs of all instances: started one after another until one fails, and shut down in the same order.

    `on_up` is called when all are up or one has failed, before any is shut down. `on_stage` is called on each loop's
    thread when a stage begins.
    """

    def __init__(
        self,
        config: Config,
        loader: AppLoader,
        on_stage: Callable[[InstanceRun], object],
        on_up: Callable[[], object],
    ) -> None:
        startups = StartupCoordinator(config)
        count = min(MAX_INSTANCES, config.thread_count)
        self._runs = [InstanceRun(config, loader, startups, number, on_stage) for number in range(1, count + 1)]
        self._config = config
        self._on_up = on_up
        self.started_runs: list[InstanceRun] = []

    @property
    def failed_run(self) -> InstanceRun | None:
        """The run that has failed, or None."""
        return next((each for each in self.started_runs if each.failure is not None), None)

    def run(self, factory: LoopFactory) -> None:
        """Run all instances, on loops made by `factory`."""
        if len(self._runs) == 1:
            self._run_on_this_thread(self._runs[0], factory)
            return
        threads: list[InstanceThread] = []
        for instance_run in self._runs:
            self.started_runs.append(instance_run)
            threads.append(InstanceThread(instance_run, factory))
            threads[-1].start()
            if instance_run.failure is not None:
                break
        self._on_up()
        for thread in threads:
            thread.end()

    def _run_on_this_thread(self, instance_run: InstanceRun, factory: LoopFactory) -> None:
        async def when_up() -> None:
            self._on_up()

        self.started_runs.append(instance_run)
        try:
            # As the server does in a single process. In worker processes the import happens on the running loop.
            if self._config.workers is None and not self._config.use_subprocess:
                instance_run.import_first()
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(instance_run.run(when_up))
        except BaseException as error:
            instance_run.failure = error
