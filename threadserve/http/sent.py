"""What an application awaits when its message has been taken and there is nothing to wait for.

Used on every thread; keeps no state.
"""

import asyncio.coroutines
import inspect
from collections.abc import Coroutine, Iterator
from typing import Any, NoReturn, cast

# What `asyncio` and, from 3.12 on, `inspect` look for in what is a coroutine function without being an `async def`. The
# attribute is `_is_coroutine` for the one; for the other `_is_coroutine_mark`, or `_is_coroutine_marker` in later releases.
COROUTINE_OF_ASYNCIO = getattr(asyncio.coroutines, "_is_coroutine", None)
COROUTINE_OF_INSPECT = getattr(inspect, "_is_coroutine_mark", None)
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
