"""What one thread does to another's loop by mistake: it is logged once for each place, and the loop is woken for it."""

import asyncio
import concurrent.futures
import importlib
import logging
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.apps import Outcome
from support.bounds import give_bounds
from support.embedded_server import Serve
from support.loops import Loops
from support.waiting import DEADLINE

from threadserve.config import Config
from threadserve.threads import cross_thread_calls
from threadserve.threads.cross_thread_calls import QUIET_SECONDS
from threadserve.threads.guarded_loops import guarded_loop_factory

Act = Callable[[], object]
Warnings = Callable[[], list[str]]

REMEDIES = ("loop.call_soon_threadsafe", "asyncio.run_coroutine_threadsafe", "one object per thread")


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Warnings:
    """The warnings of such calls so far."""
    caplog.set_level(logging.WARNING)
    return lambda: [message for message in caplog.messages if "was called on" in message]


@pytest.fixture
def loops(serve: Serve, loop: str, monkeypatch: pytest.MonkeyPatch) -> Loops:
    """Two loops of a server, that nothing wakes but what is called for."""
    give_bounds(monkeypatch, tick_seconds=4 * DEADLINE)
    app = Loops()
    serve(app, threads=2, loop=loop)
    return app


async def make_future() -> "asyncio.Future[Any]":
    return asyncio.get_running_loop().create_future()


def future_with_result() -> tuple[Awaitable[Any], Act]:
    future = asyncio.get_running_loop().create_future()
    return future, lambda: future.set_result(1)


def future_with_exception() -> tuple[Awaitable[Any], Act]:
    future = asyncio.get_running_loop().create_future()
    return future, lambda: future.set_exception(LookupError())


def cancelled_future() -> tuple[Awaitable[Any], Act]:
    future = asyncio.get_running_loop().create_future()
    return future, lambda: future.cancel()


def event() -> tuple[Awaitable[Any], Act]:
    event = asyncio.Event()
    return event.wait(), lambda: event.set()


def queue() -> tuple[Awaitable[Any], Act]:
    queue: asyncio.Queue[int] = asyncio.Queue()
    return queue.get(), lambda: queue.put_nowait(1)


def soon() -> tuple[Awaitable[Any], Act]:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    return event.wait(), lambda: loop.call_soon(event.set)


def later() -> tuple[Awaitable[Any], Act]:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    return event.wait(), lambda: loop.call_later(0.001, event.set)


def at() -> tuple[Awaitable[Any], Act]:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    return event.wait(), lambda: loop.call_at(loop.time(), event.set)


def task() -> tuple[Awaitable[Any], Act]:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def work() -> None:
        event.set()

    return event.wait(), lambda: tasks.append(loop.create_task(work()))


CALLS: dict[str, Callable[[], tuple[Awaitable[Any], Act]]] = {
    "Future.set_result": future_with_result,
    "Future.set_exception": future_with_exception,
    "Future.cancel": cancelled_future,
    "Event.set": event,
    "Queue.put_nowait": queue,
    "loop.call_soon": soon,
    "loop.call_later": later,
    "loop.call_at": at,
    "loop.create_task": task,
}


def waiting_on(
    loops: Loops, prepare: Callable[[], tuple[Awaitable[Any], Act]]
) -> tuple["concurrent.futures.Future[None]", Act]:
    """Has the first loop wait for something. Returns what ends when it has come, and the act that makes it come."""
    prepared = Outcome()

    async def wait() -> None:
        waiting, act = prepare()
        task = asyncio.ensure_future(waiting)
        asyncio.get_running_loop().call_soon(prepared.set, act)
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()

    return loops.start(0, wait()), prepared.get()


@pytest.mark.parametrize("caller", ["another loop", "no loop"])
@pytest.mark.parametrize("called", CALLS)
def test_it_is_logged_and_the_loop_woken(called: str, caller: str, loops: Loops, warnings: Warnings) -> None:
    waiting, act = waiting_on(loops, CALLS[called])
    if caller == "another loop":
        loops.call(1, act)
    else:
        act()
    waiting.result(DEADLINE)
    (warning,) = warnings()
    thread = loops.threads[1] if caller == "another loop" else threading.current_thread().name
    assert warning.startswith(f"{called} was called on thread {thread} for the event loop of thread {loops.threads[0]}")
    assert f"in {__file__}, line {act.__code__.co_firstlineno}: " in warning
    assert all(remedy in warning for remedy in REMEDIES)
    assert "\n" not in warning


def test_each_place_is_logged_once_for_all_loops(loops: Loops, warnings: Warnings) -> None:
    def here(loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon(int)

    def there(loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon(int)

    for _ in range(2):
        here(loops.loops[0])
        here(loops.loops[1])
        there(loops.loops[0])
    for function, warning in zip((here, there), warnings(), strict=True):
        assert f"line {function.__code__.co_firstlineno + 1}: loop.call_soon(int)." in warning


def test_an_event_with_many_waiters_is_set_before_they_go_on(loops: Loops) -> None:
    def event_of_many() -> tuple[Awaitable[Any], Act]:
        event = asyncio.Event()
        return asyncio.gather(*(event.wait() for _ in range(200))), event.set

    waiting, act = waiting_on(loops, event_of_many)
    loops.call(1, act)
    waiting.result(DEADLINE)


def test_nothing_of_it_runs_before_the_calling_callback_is_over(loops: Loops) -> None:
    ran_meanwhile = list[bool]()

    def event_and_more() -> tuple[Awaitable[Any], Act]:
        loop, ran = asyncio.get_running_loop(), threading.Event()

        def call_and_go_on() -> None:
            loop.call_soon(ran.set)
            # Long enough for a loop that waits for a quiet moment only.
            ran_meanwhile.append(ran.wait(3 * QUIET_SECONDS))

        return loop.run_in_executor(None, ran.wait, DEADLINE), call_and_go_on

    waiting, act = waiting_on(loops, event_and_more)
    loops.call(1, act)
    waiting.result(DEADLINE)
    assert ran_meanwhile == [False]


def test_a_callback_that_waits_for_what_it_called_is_not_waited_for(loops: Loops) -> None:
    def event_waited_for() -> tuple[Awaitable[Any], Act]:
        loop, ran = asyncio.get_running_loop(), threading.Event()

        def call_and_wait() -> None:
            loop.call_soon(ran.set)
            assert ran.wait(DEADLINE)

        return asyncio.sleep(0), call_and_wait

    waiting, act = waiting_on(loops, event_waited_for)
    loops.call(1, act)
    waiting.result(DEADLINE)


def test_a_caller_whose_loop_stops_meanwhile_is_not_waited_for(loops: Loops) -> None:
    waiting, act = waiting_on(loops, future_with_result)
    other = asyncio.new_event_loop()
    other.call_soon(act)
    other.call_soon(other.stop)
    other.run_forever()
    other.close()
    waiting.result(DEADLINE)


def test_a_callback_that_blocks_delays_nobody_elses_calls(loops: Loops, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever waits for the callback waits in vain.
    monkeypatch.setattr(cross_thread_calls, "MAX_CALLBACK_SECONDS", 4 * DEADLINE)
    called, release = Outcome(), threading.Event()

    def call_and_block() -> None:
        loops.loops[0].call_soon(int)
        called.set()
        assert release.wait(DEADLINE)

    loops.loops[1].call_soon_threadsafe(call_and_block)
    called.get()
    ran = threading.Event()
    loops.loops[0].call_soon(ran.set)
    assert ran.wait(DEADLINE)
    release.set()


def test_what_it_returns_can_be_cancelled_on_either_thread(loops: Loops) -> None:
    loop, made, called, over = loops.loops[0], list[int](), Outcome(), Outcome()

    def call() -> None:
        handles = loop.call_soon(made.append, 1), loop.call_later(0.01, made.append, 2), loop.call_at(0, made.append, 3)
        handles[0].cancel()
        called.set(handles)

    def cancel_the_timer_of_another_thread() -> None:
        called.get()[1].cancel()
        loop.call_later(0.05, over.set)

    # It keeps the loop from running the timer before.
    loop.call_soon_threadsafe(cancel_the_timer_of_another_thread)
    loops.call(1, call)
    over.get()
    assert made == [3]
    assert [handle.cancelled() for handle in called.get()] == [True, True, False]


def test_a_call_that_fails_goes_to_the_loops_exception_handler(loops: Loops) -> None:
    context = Outcome()
    loops.call(0, lambda: loops.loops[0].set_exception_handler(lambda loop, given: context.set(given)))
    loops.loops[0].call_soon(int, "no number")
    assert isinstance(context.get()["exception"], ValueError)


def test_a_library_is_named_with_the_place_that_called_it(
    loops: Loops, warnings: Warnings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "site-packages" / "a_library_that_calls.py"
    file.parent.mkdir()
    file.write_text("def call(act):\n    act()\n")
    monkeypatch.syspath_prepend(file.parent)
    library = importlib.import_module(file.stem)
    # To be forgotten after the test.
    monkeypatch.setitem(sys.modules, file.stem, sys.modules.pop(file.stem))

    def soon_by_a_library() -> tuple[Awaitable[Any], Act]:
        future = asyncio.get_running_loop().create_future()
        return future, partial(future.set_result, 1)

    waiting, act = waiting_on(loops, soon_by_a_library)
    library.call(act)
    waiting.result(DEADLINE)
    (warning,) = warnings()
    assert f"in {file}, line 2" in warning
    assert f"(called from {__file__}, line " in warning


def test_asyncio_that_waits_for_another_loops_future(loops: Loops, warnings: Warnings) -> None:
    future = loops.run(1, make_future())

    def wait_for_it() -> tuple[Awaitable[Any], Act]:
        return asyncio.wait([future]), lambda: future.set_result(1)

    waiting, act = waiting_on(loops, wait_for_it)
    loops.call(1, act)
    waiting.result(DEADLINE)
    (warning,) = warnings()
    assert f"{asyncio.tasks.__file__}, line " in warning


def test_legal_crossings_are_silent(loops: Loops, warnings: Warnings) -> None:
    async def work() -> int:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        await asyncio.to_thread(loop.call_soon_threadsafe, future.set_result, 1)
        handle = loop.call_later(DEADLINE, int)
        await loop.run_in_executor(None, loop.call_soon_threadsafe, handle.cancel)
        other = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, 2), loops.loops[1])
        return int(await future + await asyncio.wrap_future(other))

    assert loops.run(0, work()) == 3
    assert warnings() == []


def test_the_methods_themselves_may_be_handed_to_another_thread(loops: Loops, warnings: Warnings) -> None:
    async def work() -> None:
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        await asyncio.to_thread(loop.call_soon, event.set)
        await event.wait()

    loops.run(0, work())
    (warning,) = warnings()
    assert warning.startswith("loop.call_soon was called on")


def test_debug_mode_refuses_it_as_ever(loops: Loops, warnings: Warnings) -> None:
    loop = loops.loops[0]
    loops.call(0, lambda: loop.set_debug(True))
    calls: list[Act] = [lambda: loop.call_soon(int), lambda: loop.call_later(1, int), lambda: loop.call_at(1, int)]
    for call in calls:
        with pytest.raises(RuntimeError, match="Non-thread-safe operation"):
            call()
    loops.call(0, lambda: loop.set_debug(False))
    assert warnings() == []


def test_a_loop_that_does_not_run_is_anybodys(loop: str, warnings: Warnings) -> None:
    called: list[int] = []
    with concurrent.futures.ThreadPoolExecutor(1) as owner:
        idle = owner.submit(guarded_loop_factory(Config(Loops(), threads=2, loop=loop))).result(DEADLINE)
        idle.call_soon(called.append, 1)
        idle.call_later(0.03, called.append, 2)
        owner.submit(idle.run_until_complete, asyncio.sleep(0.1)).result(DEADLINE)
        owner.submit(idle.close).result(DEADLINE)
    with pytest.raises(RuntimeError, match="closed"):
        idle.call_soon(int)
    assert called == [1, 2]
    assert warnings() == []


def test_one_thread_is_as_under_every_other_server(serve: Serve, loop: str, warnings: Warnings) -> None:
    app = Loops()
    serve(app, threads=1, loop=loop)
    app.loops[0].call_soon(int)
    assert app.run(0, asyncio.sleep(0, "goes on")) == "goes on"
    assert warnings() == []


def test_loops_of_the_programs_own(serve: Serve, warnings: Warnings) -> None:
    app = Loops()
    serve(app, threads=2, loop="asyncio:SelectorEventLoop")
    waiting, act = waiting_on(app, event)
    app.call(1, act)
    waiting.result(DEADLINE)
    assert len(warnings()) == 1
