"""The event loops that can be chosen. Runs on any thread; a loop belongs to the thread that makes it."""

import asyncio
import importlib
import importlib.util
from collections.abc import Callable

from threadserve.errors import ConfigError
from threadserve.runtime.immortal import immortalize_functions

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def find_loop_factory(name: str) -> LoopFactory:
    """Return a factory of loops: for `asyncio`, `uvloop`, or the one that a module:attribute names.

    `auto` is uvloop where it is installed, and `none` asyncio, whose loop the program's own policy makes. Raises
    `ConfigError` where there is no such thing.
    """
    name = resolve_loop_name(name)
    if ":" in name:
        return _import_factory(name)
    if name == "uvloop":
        return _import_factory("uvloop:new_event_loop")
    return asyncio.new_event_loop


def _import_factory(name: str) -> LoopFactory:
    module, _, attribute = name.partition(":")
    try:
        factory: LoopFactory = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ConfigError("loop", f"{module} cannot be imported: {error}") from error
    except AttributeError as error:
        raise ConfigError("loop", f"the module {module} has no {attribute}") from error
    immortalize_functions()
    return factory


def resolve_loop_name(name: str) -> str:
    """Return the name of the loop that a setting stands for on this system."""
    if name == "auto":
        return "asyncio" if importlib.util.find_spec("uvloop") is None else "uvloop"
    return "asyncio" if name == "none" else name
