"""An awaitable for an application whose message has been taken and that has nothing to wait for.

Each loop has one `CompletedSend`, and uses it on its own thread alone.
"""

import asyncio.coroutines
import inspect
from collections.abc import Iterator
from typing import NoReturn


def coroutine_marker() -> object:
    """Return the marker that `inspect`, from 3.12 on, looks for in a coroutine function that is no `async def`."""

    def function() -> None: ...

    mark = getattr(inspect, "markcoroutinefunction", None)
    return getattr(mark(function), "_is_coroutine_marker", None) if mark is not None else None


# By these marks `asyncio` and `inspect` know a coroutine function.
ASYNCIO_COROUTINE_MARKER = getattr(asyncio.coroutines, "_is_coroutine", None)
INSPECT_COROUTINE_MARKER = coroutine_marker()


class CompletedSend:
    """A completed coroutine, shared by a loop: making one for every message costs more than most messages do."""

    __slots__ = ("_nothing",)

    def __init__(self) -> None:
        self._nothing: Iterator[None] = iter(())

    def __await__(self) -> Iterator[None]:
        return self._nothing

    def send(self, value: object) -> NoReturn:
        """End at once, as `coroutine.send` does."""
        raise StopIteration

    def throw(self, error: BaseException | type[BaseException], *details: object) -> NoReturn:
        """Raise the given error, as `coroutine.throw` does."""
        raise error

    def close(self) -> None:
        """Do nothing: it is closed."""
