"""Where a loop server runs: on a thread with a loop of its own, or on a loop that is running already.

A host is made, started and joined by the server's own story (main thread or acceptor thread); what it hosts runs on the
loop's thread. It owns that thread or the borrowed call and nothing of what is served.
"""

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable
from typing import Protocol

from threadserve.loops import LoopFactory
from threadserve.threads.loop_server import LoopServer

Outcome = Callable[[BaseException | None], None]


class Host(Protocol):
    """Runs a `LoopServer` somewhere."""

    def start(self) -> None:
        """Begins to run it."""
        ...

    def join(self, timeout: float | None = None) -> bool:
        """Waits until it has ended, `timeout` seconds at most; returns whether it has."""
        ...


class LoopThread:
    """A thread that runs a loop server on a loop of its own, and calls `on_end` with what killed it, or None.

    When it was killed, that is before the loop is closed, for which the successor need not wait.
    """

    def __init__(self, server: LoopServer, factory: LoopFactory, on_end: Outcome) -> None:
        self._server = server
        self._factory = factory
        self._on_end = on_end
        self._has_ended = False
        self._is_closed = False
        # A daemon, because a handler that never returns would otherwise keep the process from ending.
        # In the context of the program, as on a loop of its own; not every build has a thread inherit its starter's.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(
            target=run, args=(self._serve,), name=f"threadserve-{server.number}", daemon=True
        )

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

    def _end(self, error: BaseException | None) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._on_end(error)


class BorrowedLoop:
    """A loop that runs already, in which the server is embedded; its thread and its life are the program's own."""

    def __init__(self, server: LoopServer, loop: asyncio.AbstractEventLoop, on_end: Outcome) -> None:
        self._server = server
        self._loop = loop
        self._on_end = on_end
        self._future: concurrent.futures.Future[None] | None = None

    def start(self) -> None:
        """See `Host.start`."""
        self._future = asyncio.run_coroutine_threadsafe(self._server.main(), self._loop)
        self._future.add_done_callback(self._ended)

    def join(self, timeout: float | None = None) -> bool:
        """See `Host.join`."""
        if self._future is None:
            return True
        done, _ = concurrent.futures.wait([self._future], timeout)
        return bool(done)

    def _ended(self, future: "concurrent.futures.Future[None]") -> None:
        self._on_end(None if future.cancelled() else future.exception())
