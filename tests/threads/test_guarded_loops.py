"""Errors of objects that belong to another thread's loop, wherever a loop reports them."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from support.apps import Outcome
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.loops import Loops
from support.raw_client import Connect, request
from support.waiting import wait_until

from threadserve.app.hints import OTHER_LOOP_HINT
from threadserve.runtime.loops import find_loop_factory
from threadserve.types import Receive, Scope, Send

Future = asyncio.Future[Any]


@pytest.fixture
def loops(serve: Serve, loop: str) -> Loops:
    """Two loops of a server."""
    app = Loops()
    serve(app, threads=2, loop=loop)
    return app


async def make_future() -> Future:
    return asyncio.get_running_loop().create_future()


async def leave_a_task(foreign: Future) -> None:
    async def wait() -> None:
        await foreign

    task = asyncio.create_task(wait())
    await asyncio.wait([task])


async def leave_a_future(foreign: Future) -> None:
    future = asyncio.get_running_loop().create_future()
    try:
        await foreign
    except RuntimeError as error:
        future.set_exception(error)


async def fail_in_a_callback(foreign: Future) -> None:
    error = await error_of(foreign)

    def fail() -> None:
        raise LookupError("no such thing") from error

    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0)


async def leave_a_generator(foreign: Future) -> None:
    async def generate() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await foreign

    await anext(generate())
    gc.collect()
    await asyncio.sleep(0.01)


async def error_of(foreign: Future) -> BaseException:
    """What awaiting an object of another loop raises."""
    with pytest.raises(RuntimeError, match="attached to a different loop") as caught:
        await foreign
    return caught.value


@pytest.mark.parametrize("leave", [leave_a_task, leave_a_future, fail_in_a_callback, leave_a_generator])
def test_what_a_loop_reports_ends_with_the_hint(
    leave: Callable[[Future], Coroutine[Any, Any, None]], loops: Loops, error_log: ErrorLog
) -> None:
    loops.run(0, leave(loops.run(1, make_future())))
    gc.collect()
    record = error_log.expect(LookupError if leave is fail_in_a_callback else RuntimeError)
    assert record.name == "asyncio"
    lines = logging.Formatter().format(record).splitlines()
    assert lines[-1] == OTHER_LOOP_HINT
    assert lines.count(OTHER_LOOP_HINT) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_other_errors_are_logged_as_ever(threads: int, serve: Serve, loop: str, error_log: ErrorLog) -> None:
    def fail() -> None:
        raise LookupError("no such thing")

    async def work() -> None:
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)

    app = Loops()
    serve(app, threads=threads, loop=loop)
    app.run(0, work())
    logged = logging.Formatter().format(error_log.expect(LookupError))
    with asyncio.Runner(loop_factory=find_loop_factory(loop)) as runner:
        runner.run(work())
    assert logging.Formatter().format(error_log.expect(LookupError)) == logged


def test_no_hint_at_threads_where_there_is_one(serve: Serve, loop: str, error_log: ErrorLog) -> None:
    app = Loops()
    serve(app, threads=1, loop=loop)
    foreign = asyncio.new_event_loop()
    app.run(0, leave_a_task(foreign.create_future()))
    foreign.close()
    gc.collect()
    assert OTHER_LOOP_HINT not in logging.Formatter().format(error_log.expect(RuntimeError))


@pytest.mark.parametrize("passes_on", [False, True])
def test_the_applications_own_handler_is_left_alone(passes_on: bool, loops: Loops, error_log: ErrorLog) -> None:
    context = Outcome()

    def handle(loop: asyncio.AbstractEventLoop, given: dict[str, Any]) -> None:
        context.set((given, getattr(given["exception"], "__notes__", [])))
        if passes_on:
            loop.default_exception_handler(given)

    async def set_handler() -> None:
        asyncio.get_running_loop().set_exception_handler(handle)
        assert asyncio.get_running_loop().get_exception_handler() is handle

    loops.run(0, set_handler())
    loops.run(0, leave_a_task(loops.run(1, make_future())))
    gc.collect()
    given, notes = context.get()
    assert given["message"] == "Task exception was never retrieved"
    assert notes == []
    if passes_on:
        assert logging.Formatter().format(error_log.expect(RuntimeError)).endswith(OTHER_LOOP_HINT)


@pytest.mark.usefixtures("no_stalls")
def test_a_request_that_fails_ends_with_the_same(
    serve: Serve, connect: Connect, loop: str, error_log: ErrorLog
) -> None:
    futures: list[Future] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        futures.append(await make_future())
        await futures[0]

    server = serve(app, threads=2, loop=loop, lifespan="off", distribute="round-robin")
    first = connect(server)
    first.send(request("GET", "/"))
    wait_until(lambda: futures, "the first request")
    assert connect(server).get().status == 500
    record = error_log.expect(RuntimeError, "attached to a different loop")
    assert record.name == "threadserve.error"
    assert logging.Formatter().format(record).endswith(OTHER_LOOP_HINT)
    futures[0].get_loop().call_soon_threadsafe(futures[0].set_exception, LookupError("over"))
    assert first.read_response().status == 500
    error_log.expect(LookupError)
