"""Loops that log when another thread uses what belongs to their thread, which asyncio does not report clearly.

`guarded_loop_factory` runs on the server's thread; the factory runs on the thread that is to run the loop, which owns
the loop. A thread that calls the loop wrongly runs `CrossThreadCalls`.
"""

import asyncio
import threading
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from threadserve.app.hints import add_hint
from threadserve.config import Config
from threadserve.runtime.loops import LoopFactory, find_loop_factory
from threadserve.threads.cross_thread_calls import CrossThreadCalls
from threadserve.threads.cross_thread_log import CrossThreadLog

Method = Callable[..., object]

# The methods that all of asyncio's objects call in the end, on the thread that uses them.
OWNER_METHODS = ("call_soon", "call_later", "call_at")


def guarded_loop_factory(config: Config) -> LoopFactory:
    """Return the factory of a server's loops, which are guarded if there are several. Raises `ConfigError`."""
    factory = find_loop_factory(config.loop)
    if config.thread_count == 1:
        return factory
    places = CrossThreadLog()

    def make() -> asyncio.AbstractEventLoop:
        return guard_loop(factory(), places)

    return make


def guard_loop(loop: asyncio.AbstractEventLoop, places: CrossThreadLog) -> asyncio.AbstractEventLoop:
    """Guard a loop of the calling thread, unless it takes no attributes, and return it."""
    foreign = CrossThreadCalls(loop, places)
    methods = {name: dispatch_by_thread(getattr(loop, name), getattr(foreign, name)) for name in OWNER_METHODS}
    methods["default_exception_handler"] = add_hints(loop.default_exception_handler)
    if hasattr(loop, "__dict__"):
        vars(loop).update(methods)
    return loop


def dispatch_by_thread(own: Method, elsewhere: Method) -> Method:
    """Return a method that is `own` on the calling thread, and `elsewhere` on every other.

    The thread-local object tells them apart without a frame of Python's, which would cost a fifth of what a comparison
    in a function does. Each has a class of its own, so that no thread counts references to what another one uses.
    """

    class ByThread(threading.local):
        __call__: Any = property(attrgetter("method"))

        def __init__(self) -> None:
            self.method = elsewhere

    method = ByThread()
    method.method = own
    return method


def add_hints(handle: Method) -> Method:
    """Return the exception handler `handle`, which adds a hint if an object of another loop is behind the error."""

    def handle_with_hints(context: dict[str, object]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            add_hint(error)
        handle(context)

    return handle_with_hints
