"""Loops that say aloud when something of one thread's loop is used on another, which asyncio leaves unclear.

`serving_loops` runs on the server's thread, and what it returns on the thread that is to run the loop. A guarded loop
is that thread's as any other is.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from threadserve.config import Config
from threadserve.interfaces.hints import with_hint
from threadserve.loops import LoopFactory, loop_factory

Method = Callable[..., Any]


def serving_loops(config: Config) -> LoopFactory:
    """How the loops of a server are made: guarded where it has several. Raises `ConfigError`."""
    factory = loop_factory(config.loop)
    if config.thread_count == 1:
        return factory

    def make() -> asyncio.AbstractEventLoop:
        return guarded(factory())

    return make


def guarded(loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
    """A loop of the calling thread, guarded from now on unless it takes no attributes."""
    if hasattr(loop, "__dict__"):
        vars(loop)["default_exception_handler"] = with_hints(loop.default_exception_handler)
    return loop


def with_hints(handle: Method) -> Method:
    """The default exception handler `handle`, but for the hint where an object of another loop is behind an error."""

    def handle_with_hints(context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            with_hint(error)
        handle(context)

    return handle_with_hints
