"""The runners of loop servers: on a thread of their own, on the calling thread, or on a loop that runs already.

A runner is made, started and joined on the server's thread; the loop server runs on the loop's thread. A runner owns
the loop's thread, its place in the calling thread's queue, or its task on the external loop; it owns nothing that is
served.
"""

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from threadserve.runtime.loops import LoopFactory
from threadserve.threads.loop_server import LoopServer

OnEnd = Callable[[BaseException | None], None]

# How long the replacement of a dead loop on the same thread waits for the dead one's tasks.
CLOSE_GRACE_SECONDS = 1.0


class LoopRunner(Protocol):
    """Runs a `LoopServer`."""

    def start(self) -> None:
        """Start the loop server."""
        ...

    def join(self, timeout: float | None = None) -> bool:
        """Wait `timeout` seconds at most for the end; return whether it has ended."""
        ...


def call_once(on_end: OnEnd) -> OnEnd:
    """Return a callback that passes on its first call alone: a killed loop ends a second time when it is closed."""
    has_ended = False

    def end(error: BaseException | None) -> None:
        nonlocal has_ended
        if not has_ended:
            has_ended = True
            on_end(error)

    return end


class LoopThread:
    """A thread that runs a loop server on a loop of its own. It calls `on_end` with what killed the loop, or None.

    If the loop was killed, it does so before the loop is closed: the replacement need not wait for that.
    """

    def __init__(self, server: LoopServer, factory: LoopFactory, on_end: OnEnd, name: str = "") -> None:
        self._server = server
        self._factory = factory
        self._on_end = call_once(on_end)
        self._is_closed = False
        # A daemon, because a handler that never returns would otherwise keep the process from ending. In the program's
        # context, as if the program ran the loop: not on every build does a thread inherit it.
        run = contextvars.copy_context().run
        name = name or f"threadserve-{server.number}"
        self._thread = threading.Thread(target=run, args=(self._run,), name=name, daemon=True)

    def start(self) -> None:
        """Implement `LoopRunner.start`."""
        self._thread.start()

    def join(self, timeout: float | None = None) -> bool:
        """Implement `LoopRunner.join`."""
        # Once the loop is closed, the thread ends as soon as the system lets it run.
        self._thread.join(None if self._is_closed else timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._factory) as runner:
                self._run_main(runner)
        except BaseException as error:
            self._is_closed = True
            self._on_end(error)
        else:
            self._is_closed = True
            self._on_end(None)

    def _run_main(self, runner: asyncio.Runner) -> None:
        try:
            runner.run(self._server.main())
        except asyncio.CancelledError:
            return
        except BaseException as error:
            # Before the runner waits for the loop's tasks and executor: meanwhile the loop must take no connections.
            self._server.close()
            self._on_end(error)


class CallingThread:
    """Runs loop servers on the thread that calls `run`, one after another, each on a loop of its own.

    On the main thread, an exception from a signal handler comes out of the loop that runs then. `is_exit` returns
    whether an exception asks for the server's end, and begins that end; the loop then goes on until it is stopped.
    `prepare` is called before each loop is made.
    """

    def __init__(
        self, factory: LoopFactory, prepare: Callable[[], object], is_exit: Callable[[BaseException], bool]
    ) -> None:
        self.factory = factory
        self.prepare = prepare
        self.is_exit = is_exit
        self._queue: SimpleQueue[QueuedRunner | None] = SimpleQueue()
        self._last_runner: QueuedRunner | None = None

    def make_runner(self, server: LoopServer, on_end: OnEnd) -> "QueuedRunner":
        """Return a runner that runs a loop server on this thread after those before it."""
        self._last_runner = QueuedRunner(self, server, on_end)
        return self._last_runner

    def run(self) -> None:
        """Run the runners in the queue until `finish_threadsafe`."""
        while True:
            try:
                runner = self._queue.get()
            except BaseException as error:
                # From a signal handler, between two loops.
                if not self.is_exit(error):
                    raise
                continue
            if runner is None:
                return
            runner.run()

    def submit_threadsafe(self, runner: "QueuedRunner") -> None:
        """Add a runner to the queue."""
        self._queue.put(runner)

    def finish_threadsafe(self) -> None:
        """Let `run` return when the last loop has ended."""
        self._queue.put(None)

    def is_blocked_threadsafe(self) -> bool:
        """Return whether the last loop has not ended."""
        return self._last_runner is not None and not self._last_runner.join(0)


class QueuedRunner:
    """Runs a loop server on a `CallingThread`. It calls `on_end` as `LoopThread` does."""

    def __init__(self, thread: CallingThread, server: LoopServer, on_end: OnEnd) -> None:
        self._thread = thread
        self._server = server
        self._on_end = call_once(on_end)
        self._has_started = False
        self._is_closed = threading.Event()

    def start(self) -> None:
        """Implement `LoopRunner.start`."""
        self._has_started = True
        self._thread.submit_threadsafe(self)

    def join(self, timeout: float | None = None) -> bool:
        """Implement `LoopRunner.join`."""
        return self._is_closed.wait(timeout) if self._has_started else True

    def run(self) -> None:
        """Run the loop server to its end. Never raises."""
        try:
            self._thread.prepare()
            runner = asyncio.Runner(loop_factory=self._thread.factory)
            if self._run_main(runner.get_loop()):
                runner.close()
            else:
                close_killed_loop(runner.get_loop())
        except BaseException as error:
            self._thread.is_exit(error)
            self._is_closed.set()
            self._on_end(error)
        else:
            self._is_closed.set()
            self._on_end(None)

    def _run_main(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Run the server's main task; return whether it came to its own end."""
        main = loop.create_task(self._server.main())
        while True:
            try:
                loop.run_until_complete(main)
            except asyncio.CancelledError:
                return True
            except BaseException as error:
                if not main.done() and self._thread.is_exit(error):
                    continue
                self._server.close()
                self._on_end(error)
                return False
            return True


def close_killed_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop that was killed. Wait a moment for its tasks, but not for its executor."""
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=CLOSE_GRACE_SECONDS))
        loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), CLOSE_GRACE_SECONDS))
    finally:
        loop.close()


class ExternalLoop:
    """Runs a loop server on a loop of the program's own, which runs already."""

    def __init__(self, server: LoopServer, loop: asyncio.AbstractEventLoop, on_end: OnEnd) -> None:
        self._server = server
        self._loop = loop
        self._on_end = on_end
        self._future: concurrent.futures.Future[None] | None = None

    def start(self) -> None:
        """Implement `LoopRunner.start`."""
        self._future = asyncio.run_coroutine_threadsafe(self._server.main(is_external_loop=True), self._loop)
        self._future.add_done_callback(self._on_done)

    def join(self, timeout: float | None = None) -> bool:
        """Implement `LoopRunner.join`."""
        if self._future is None:
            return True
        done, _ = concurrent.futures.wait([self._future], timeout)
        return bool(done)

    def _on_done(self, future: "concurrent.futures.Future[None]") -> None:
        self._on_end(None if future.cancelled() else future.exception())
