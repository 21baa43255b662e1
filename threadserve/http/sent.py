"""What an application awaits when its message has been taken and there is nothing to wait for.

Used on every thread; keeps no state.
"""

import asyncio.coroutines
import inspect
from collections.abc import Coroutine, Iterator
from typing import Any, NoReturn, cast


def coroutine_marker() -> object:
    """What `inspect`, from 3.12 on, looks for in what is a coroutine function without being an `async def`."""

    def function() -> None: ...

    mark = getattr(inspect, "markcoroutinefunction", None)
    return getattr(mark(function), "_is_coroutine_marker", None) if mark is not None else None


# The same for `asyncio`, and this.
COROUTINE_OF_ASYNCIO = getattr(asyncio.coroutines, "_is_coroutine", None)
COROUTINE_OF_INSPECT = coroutine_marker()
NOTHING: Iterator[Any] = iter(())


class Sent:
    """A coroutine that is over, for all: making one for every message costs more than most messages do."""

    __slots__ = ()

    def __await__(self) -> Iterator[Any]:
        return NOTHING

    def send(self, value: object) -> NoReturn:
        """Ends at once, as `coroutine.send` does."""
        raise StopIteration

    def throw(self, error: Any, *details: Any) -> NoReturn:
        """Raises what it is given, as `coroutine.throw` does."""
        raise error

    def close(self) -> None:
        """Does nothing: it is closed."""


SENT = cast("Coroutine[Any, Any, None]", Sent())
