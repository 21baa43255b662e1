"""The event loops that can be chosen. Runs on any thread; a loop belongs to the thread that asked for it."""

import asyncio
import importlib
import importlib.util
from collections.abc import Callable

from threadserve.errors import ConfigError
from threadserve.runtime.uncounted import exempt_from_counting

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def loop_factory(name: str) -> LoopFactory:
    """How a loop of this kind is made: `asyncio`, `uvloop`, or the factory that a module:attribute is.

    `auto` is uvloop where it is installed, and `none` what the program's own settings make. Raises `ConfigError` where
    there is no such thing.
    """
    name = loop_name(name)
    if ":" in name:
        return imported(name)
    if name == "uvloop":
        return imported("uvloop:new_event_loop")
    return asyncio.new_event_loop


def imported(name: str) -> LoopFactory:
    """The attribute that a module:attribute names. Raises `ConfigError` if it cannot be had."""
    module, _, attribute = name.partition(":")
    try:
        factory: LoopFactory = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ConfigError("loop", f"{module} cannot be imported: {error}") from error
    except AttributeError as error:
        raise ConfigError("loop", f"the module {module} has no {attribute}") from error
    exempt_from_counting()
    return factory


def loop_name(name: str) -> str:
    """Which loop a name stands for, on this system."""
    if name == "auto":
        return "asyncio" if importlib.util.find_spec("uvloop") is None else "uvloop"
    return "asyncio" if name == "none" else name
