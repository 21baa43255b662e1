"""The event loops that can be chosen. Runs on any thread; a loop belongs to the thread that asked for it."""

import asyncio
import importlib.util
from collections.abc import Callable

from threadserve.errors import ConfigError

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def loop_factory(name: str) -> LoopFactory:
    """How a loop of this kind (`auto`, `asyncio`, `uvloop`) is made; `auto` is uvloop where it is installed.

    Raises `ConfigError` when uvloop is asked for and not there.
    """
    if loop_name(name) == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop
    except ImportError as error:
        raise ConfigError("loop", f"uvloop cannot be imported: {error}") from error
    return uvloop.new_event_loop


def loop_name(name: str) -> str:
    """Which loop a name stands for, on this system."""
    if name == "auto":
        return "asyncio" if importlib.util.find_spec("uvloop") is None else "uvloop"
    return name
