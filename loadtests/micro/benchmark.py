"""The type of all micro-benchmarks."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from loadtests.errors import LoadTestError

# Does its operation so many times, on the running loop.
Repeat = Callable[[int], Awaitable[None]]


@dataclass(frozen=True)
class Benchmark:
    """An operation that can be repeated, in multiples of `batch`.

    `prepare` sets everything up on the running loop and checks once that the operation gives what it should: it raises
    LoadTestError where it does not. Voluntary switches are counted too where the operation `crosses_threads`.
    """

    prepare: Callable[[], AbstractAsyncContextManager[Repeat]]
    batch: int = 1
    crosses_threads: bool = False


def repeated(operation: Callable[[], object]) -> Repeat:
    """Return the repeat of something that waits for nothing."""

    async def repeat(operations: int) -> None:
        for _ in range(operations):
            operation()

    return repeat


def require(condition: object, otherwise: str) -> None:
    """Raise LoadTestError unless the condition holds."""
    if not condition:
        raise LoadTestError(otherwise)
