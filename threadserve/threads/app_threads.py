"""The threads for blocking calls of applications: one budget for all loops of a process.

`AppThreads` is made and stopped on the server's thread and used by every loop's; a `LoopShare` belongs to one loop's
thread. The module owns the pool behind every loop's default executor, and sets the limit of anyio, which has threads of
its own for each loop. It never calls a loop, and never touches a loop that is the program's own.
"""

import asyncio
import math
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from threadserve.config import Config
from threadserve.threads.futures import resolve

P = ParamSpec("P")
T = TypeVar("T")

# anyio's default limit for one loop.
ANYIO_TOKENS = 40


def make_app_threads(config: Config) -> "AppThreads | None":
    """Return the threads that a configuration asks for, or None for the defaults of asyncio and anyio."""
    return AppThreads(config) if config.app_threads is not None or config.thread_count > 1 else None


class AppThreads:
    """The threads of one process: `size` for the default executors of all loops, and about as many of anyio's.

    They are started when there is something to do for them.
    """

    def __init__(self, config: Config) -> None:
        self.size = config.app_thread_count
        self.anyio_tokens = math.ceil((config.app_threads or ANYIO_TOKENS) / config.thread_count)
        # A factory of the program's may give its loops an executor.
        self.gives_executors = config.app_threads is not None or ":" not in config.loop
        self.pool = ThreadPoolExecutor(self.size, thread_name_prefix="threadserve-app")

    def share_threadsafe(self, loop: asyncio.AbstractEventLoop) -> "LoopShare":
        """Return the share of a loop, which runs on the calling thread."""
        return LoopShare(self, loop)

    def stop(self, timeout: float) -> bool:
        """End the threads; return whether they have ended within `timeout` seconds."""
        ending = threading.Thread(target=self.pool.shutdown, name="threadserve-app-end", daemon=True)
        ending.start()
        ending.join(timeout)
        return not ending.is_alive()


class LoopShare:
    """A loop's share of the threads. It is made before the application is loaded, whose own settings override it."""

    def __init__(self, threads: AppThreads, loop: asyncio.AbstractEventLoop) -> None:
        self._tokens = threads.anyio_tokens
        self._has_limited = False
        if threads.gives_executors:
            loop.set_default_executor(LoopExecutor(threads.pool, threads.size))

    def limit_anyio(self) -> None:
        """Limit anyio's threads to the loop's share.

        Does nothing until the application has imported anyio, or if it has set the limit itself. To be called in a task
        of the loop.
        """
        if self._has_limited or "anyio" not in sys.modules:
            return
        try:
            from anyio.to_thread import current_default_thread_limiter
        except ImportError:
            # anyio has no limiter before version 3.
            return
        self._has_limited = True
        limiter = current_default_thread_limiter()
        if limiter.total_tokens == ANYIO_TOKENS:
            limiter.total_tokens = self._tokens


class LoopExecutor(ThreadPoolExecutor):
    """The default executor of one loop. Its shutdown leaves the pool to the other loops.

    asyncio accepts no executor of another type. It has no threads of its own: calls run on those of `pool`. Every
    method may be called from any thread.
    """

    def __init__(self, pool: ThreadPoolExecutor, size: int) -> None:
        super().__init__(size)
        self._pool = pool
        self._changed = threading.Condition()
        self._has_ended = False
        self._unfinished: set[Future[Any]] = set()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit a call. Raises `RuntimeError` after a shutdown."""
        future: Future[T] = Future()
        with self._changed:
            if self._has_ended:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._pool.submit(self._run, future, partial(fn, *args, **kwargs))
            self._unfinished.add(future)
        future.add_done_callback(self._forget_cancelled)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with `wait` return when the submitted ones have ended."""
        with self._changed:
            self._has_ended = True
            unfinished = list(self._unfinished)
        if cancel_futures:
            for future in unfinished:
                future.cancel()
        if wait:
            with self._changed:
                self._changed.wait_for(lambda: not self._unfinished)

    def _run(self, future: Future[T], call: Callable[[], T]) -> None:
        """Run a call. It counts as unfinished until its loop has been told of the result."""
        resolve(future, call)
        self._forget(future)

    def _forget_cancelled(self, future: Future[T]) -> None:
        """Forget a cancelled call at once: the pool may skip it only when the other loops' calls have ended."""
        if future.cancelled():
            self._forget(future)

    def _forget(self, future: Future[T]) -> None:
        with self._changed:
            self._unfinished.discard(future)
            if not self._unfinished:
                self._changed.notify_all()
