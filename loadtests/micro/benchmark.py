"""The type of all micro-benchmarks."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from loadtests.errors import LoadTestError

# Does its operation so many times, on the running loop.
Repeat = Callable[[int], Awaitable[None]]


@dataclass(frozen=True)
class Benchmark:
    """An operation that can be repeated.

    `operations` are in one repeat, so that it takes about one millisecond: a busy machine leaves a process alone for as
    long now and then. `prepare` sets everything up on the running loop and checks once that the operation gives what it
    should: it raises LoadTestError where it does not.
    """

    name: str
    title: str
    operations: int
    prepare: Callable[[], AbstractAsyncContextManager[Repeat]]


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
