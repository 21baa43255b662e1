"""The hint at remedies when an object of another loop is behind an error."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from threadserve.app.hints import OTHER_LOOP_HINT, add_hint, find_hint, find_hint_in_text


class Shared:
    """What a module-level variable would hold."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.queue: asyncio.Queue[int] = asyncio.Queue()
        self.future: asyncio.Future[None] | None = None

    async def hold(self) -> None:
        """Ties everything to the running loop."""
        self.future = asyncio.get_running_loop().create_future()
        await self.lock.acquire()
        for waiting in (self.lock.acquire(), self.queue.get()):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(waiting, 0.001)


async def await_future(shared: Shared) -> None:
    await shared.future  # type: ignore[misc]


async def ensure_future(shared: Shared) -> None:
    future: Any = shared.future
    await asyncio.ensure_future(future, loop=asyncio.get_running_loop())


async def in_a_group(shared: Shared) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(await_future(shared))


async def wrapped(shared: Shared) -> None:
    try:
        await shared.queue.get()
    except RuntimeError as error:
        raise LookupError("no item") from error


async def in_the_context(shared: Shared) -> None:
    try:
        await shared.lock.acquire()
    finally:
        raise LookupError("while cleaning up")


async def debug_mode(shared: Shared) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    await asyncio.to_thread(loop.call_soon, print)


def error_of(action: Callable[[Shared], Any]) -> BaseException:
    """What an action raises on one loop that uses the objects of another."""
    shared = Shared()
    with asyncio.Runner() as first:
        first.run(shared.hold())
        with pytest.raises(BaseException) as caught, asyncio.Runner() as second:  # noqa: PT011
            second.run(action(shared))
    return caught.value


@pytest.mark.parametrize("action", [await_future, ensure_future, in_a_group, wrapped, in_the_context, debug_mode])
def test_object_of_another_loop(action: Callable[[Shared], Any]) -> None:
    assert find_hint(error_of(action)) == OTHER_LOOP_HINT


def test_other_errors() -> None:
    assert find_hint(RuntimeError("something else")) is None
    assert find_hint(ValueError(b"attached to a different loop", 7)) is None


def test_cause_that_is_not_the_context() -> None:
    error = LookupError("no item")
    error.__cause__ = RuntimeError("<Lock> is bound to a different event loop")
    assert find_hint(error) == OTHER_LOOP_HINT


def test_circle_of_causes() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert find_hint(first) is None


def test_text_of_an_error() -> None:
    text = "Traceback…\nRuntimeError: <Queue> is bound to a different event loop\n"
    assert find_hint_in_text(text) == OTHER_LOOP_HINT
    assert find_hint_in_text("RuntimeError: something else") is None


def test_the_traceback_ends_with_it_once() -> None:
    error = LookupError("no item")
    error.__cause__ = RuntimeError("<Lock> is bound to a different event loop")
    assert add_hint(add_hint(error)) is error
    assert error.__notes__ == [OTHER_LOOP_HINT]


@dataclass(frozen=True)
class Unchangeable(Exception):
    """An error that takes no notes."""

    text: str


def test_errors_that_are_left_as_they_are() -> None:
    frozen = Unchangeable("<Lock> is bound to a different event loop")
    other = RuntimeError("something else")
    for error in (frozen, other):
        assert add_hint(error) is error
        assert not hasattr(error, "__notes__")


def test_hint_is_one_line_with_the_remedies() -> None:
    assert "\n" not in OTHER_LOOP_HINT
    for remedy in ("lifespan", "request.state", "--app-instance shared", "--app-shared", "--threads 1"):
        assert remedy in OTHER_LOOP_HINT
