"""Loops that say aloud when something of one thread's loop is used on another, which asyncio leaves unsaid or unclear.

`serving_loops` runs on the server's thread, and what it returns on the thread that is to run the loop. A guarded loop
is that thread's as any other is; whichever thread calls it wrongly runs `ForeignCalls`.
"""

import asyncio
import threading
from collections.abc import Callable
from operator import attrgetter
from typing import Any, cast

from threadserve.app.hints import add_hint
from threadserve.config import Config
from threadserve.runtime.loops import LoopFactory, find_loop_factory
from threadserve.threads.foreign_calls import ForeignCalls
from threadserve.threads.foreign_places import ForeignPlaces

Method = Callable[..., Any]

# What all of asyncio's objects call in the end, on the thread that uses them.
OWNERS_METHODS = ("call_soon", "call_later", "call_at")


def serving_loops(config: Config) -> LoopFactory:
    """How the loops of a server are made: guarded where it has several. Raises `ConfigError`."""
    factory = find_loop_factory(config.loop)
    if config.thread_count == 1:
        return factory
    places = ForeignPlaces()

    def make() -> asyncio.AbstractEventLoop:
        return guarded(factory(), places)

    return make


def guarded(loop: asyncio.AbstractEventLoop, places: ForeignPlaces) -> asyncio.AbstractEventLoop:
    """A loop of the calling thread, guarded from now on unless it takes no attributes."""
    foreign = ForeignCalls(loop, places)
    methods = {name: by_thread(getattr(loop, name), getattr(foreign, name)) for name in OWNERS_METHODS}
    methods["default_exception_handler"] = with_hints(loop.default_exception_handler)
    if hasattr(loop, "__dict__"):
        vars(loop).update(methods)
    return loop


def by_thread(own: Method, elsewhere: Method) -> Method:
    """A method that is `own` when the calling thread calls it, and `elsewhere` when another does.

    The thread-local object tells them apart without a frame of Python's, which costs a fifth of what a comparison in a
    function does. Each has a class of its own, so that no thread counts references to what another one uses.
    """

    class ByThread(threading.local):
        __call__: Any = property(attrgetter("method"))

        def __init__(self) -> None:
            self.method = elsewhere

    method = ByThread()
    method.method = own
    return cast("Method", method)


def with_hints(handle: Method) -> Method:
    """The default exception handler `handle`, but for the hint where an object of another loop is behind an error."""

    def handle_with_hints(context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            add_hint(error)
        handle(context)

    return handle_with_hints
