"""Where a loop server runs: on a thread with a loop of its own, on the thread that calls, or on a running loop.

A host is made, started and joined by the server's own story, on its thread; what it hosts runs on the
loop's thread. It owns that thread, its turn on the calling one, or the borrowed call, and nothing of what is served.
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

Outcome = Callable[[BaseException | None], None]

# How long, in seconds, the loop that takes a dead one's place on the same thread waits for what that leaves.
CLOSE_GRACE = 1.0


class Host(Protocol):
    """Runs a `LoopServer` somewhere."""

    def start(self) -> None:
        """Begins to run it."""
        ...

    def join(self, timeout: float | None = None) -> bool:
        """Waits until it has ended, `timeout` seconds at most; returns whether it has."""
        ...


def first_only(on_end: Outcome) -> Outcome:
    """Passes on the first outcome alone: a loop that was killed ends once more when it is closed."""
    has_ended = False

    def end(error: BaseException | None) -> None:
        nonlocal has_ended
        if not has_ended:
            has_ended = True
            on_end(error)

    return end


class LoopThread:
    """A thread that runs a loop server on a loop of its own, and calls `on_end` with what killed it, or None.

    When it was killed, that is before the loop is closed, for which the successor need not wait.
    """

    def __init__(self, server: LoopServer, factory: LoopFactory, on_end: Outcome, name: str = "") -> None:
        self._server = server
        self._factory = factory
        self._end = first_only(on_end)
        self._is_closed = False
        # A daemon, because a handler that never returns would otherwise keep the process from ending.
        # In the context of the program, as on a loop of its own; not every build has a thread inherit its starter's.
        run = contextvars.copy_context().run
        name = name or f"threadserve-{server.number}"
        self._thread = threading.Thread(target=run, args=(self._serve,), name=name, daemon=True)

    def start(self) -> None:
        """See `Host.start`."""
        self._thread.start()

    def join(self, timeout: float | None = None) -> bool:
        """See `Host.join`."""
        # Once its loop is closed the thread has nothing left to do but to be run a last time, however late.
        self._thread.join(None if self._is_closed else timeout)
        return not self._thread.is_alive()

    def _serve(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._factory) as runner:
                self._run_main(runner)
        except BaseException as error:
            self._is_closed = True
            self._end(error)
        else:
            self._is_closed = True
            self._end(None)

    def _run_main(self, runner: asyncio.Runner) -> None:
        try:
            runner.run(self._server.main())
        except asyncio.CancelledError:
            return
        except BaseException as error:
            # Before the runner waits for what is left of the loop's tasks and executor, and takes up nothing more.
            self._server.release()
            self._end(error)


class CallingThread:
    """The thread that calls `run`, which runs loop servers there, one after another, each on a loop of its own.

    Whatever Python's handlers of signals raise on it, if it is the main thread, comes out of the loop that runs then.
    `is_exit` says of what has come out of a loop whether it asks for the server's end, and has that begin: the loop
    then goes on until it is told to stop. `prepare` is called before each loop is made.
    """

    def __init__(
        self, factory: LoopFactory, prepare: Callable[[], object], is_exit: Callable[[BaseException], bool]
    ) -> None:
        self.factory = factory
        self.prepare = prepare
        self.is_exit = is_exit
        self._turns: SimpleQueue[Turn | None] = SimpleQueue()
        self._last: Turn | None = None

    def host(self, server: LoopServer, on_end: Outcome) -> "Turn":
        """A host that runs a server on this thread when those before it have ended."""
        self._last = Turn(self, server, on_end)
        return self._last

    def run(self) -> None:
        """Runs what is started, until `let_go_threadsafe`."""
        while True:
            try:
                turn = self._turns.get()
            except BaseException as error:
                # Of a handler of a signal, between two loops.
                if not self.is_exit(error):
                    raise
                continue
            if turn is None:
                return
            turn.serve()

    def take_threadsafe(self, turn: "Turn") -> None:
        """Has a turn taken."""
        self._turns.put(turn)

    def let_go_threadsafe(self) -> None:
        """Has `run` return when the last loop has ended."""
        self._turns.put(None)

    def is_held_up_threadsafe(self) -> bool:
        """Whether the last loop goes on."""
        return self._last is not None and not self._last.join(0)


class Turn:
    """A loop server's turn on a thread that runs one after another. Calls `on_end` as `LoopThread` does."""

    def __init__(self, thread: CallingThread, server: LoopServer, on_end: Outcome) -> None:
        self._thread = thread
        self._server = server
        self._end = first_only(on_end)
        self._has_begun = False
        self._is_closed = threading.Event()

    def start(self) -> None:
        """See `Host.start`."""
        self._has_begun = True
        self._thread.take_threadsafe(self)

    def join(self, timeout: float | None = None) -> bool:
        """See `Host.join`."""
        return self._is_closed.wait(timeout) if self._has_begun else True

    def serve(self) -> None:
        """Runs the server to its end. Never raises."""
        try:
            self._thread.prepare()
            runner = asyncio.Runner(loop_factory=self._thread.factory)
            if self._run_main(runner.get_loop()):
                runner.close()
            else:
                close_soon(runner.get_loop())
        except BaseException as error:
            self._thread.is_exit(error)
            self._is_closed.set()
            self._end(error)
        else:
            self._is_closed.set()
            self._end(None)

    def _run_main(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Returns whether the server came to its own end."""
        main = loop.create_task(self._server.main())
        while True:
            try:
                loop.run_until_complete(main)
            except asyncio.CancelledError:
                return True
            except BaseException as error:
                if not main.done() and self._thread.is_exit(error):
                    continue
                self._server.release()
                self._end(error)
                return False
            return True


def close_soon(loop: asyncio.AbstractEventLoop) -> None:
    """Closes a loop that was killed. Waits a moment for the tasks that are left on it, and not for its executor."""
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=CLOSE_GRACE))
        loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), CLOSE_GRACE))
    finally:
        loop.close()


class BorrowedLoop:
    """A loop that runs already, in which the server is embedded; its thread and its life are the program's own."""

    def __init__(self, server: LoopServer, loop: asyncio.AbstractEventLoop, on_end: Outcome) -> None:
        self._server = server
        self._loop = loop
        self._on_end = on_end
        self._future: concurrent.futures.Future[None] | None = None

    def start(self) -> None:
        """See `Host.start`."""
        self._future = asyncio.run_coroutine_threadsafe(self._server.main(is_guest=True), self._loop)
        self._future.add_done_callback(self._ended)

    def join(self, timeout: float | None = None) -> bool:
        """See `Host.join`."""
        if self._future is None:
            return True
        done, _ = concurrent.futures.wait([self._future], timeout)
        return bool(done)

    def _ended(self, future: "concurrent.futures.Future[None]") -> None:
        self._on_end(None if future.cancelled() else future.exception())
