"""When the parts of a streamed body leave: together where they come together, and without waiting for what is late."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.apps import body, start
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.memory_transport import MemoryTransport, opened, serving
from support.raw_client import Connect, RawClient, request
from support.waiting import DEADLINE, wait_until

from threadserve.config import Config
from threadserve.errors import ClientDisconnected
from threadserve.http.bounds import Bounds
from threadserve.types import ASGIApp, Receive, Scope, Send

PART = b"0123456789" * 100
# Long enough that what comes behind it has not come in quick succession.
PAUSE = 0.01
PAUSED = threading.Event()


class Receipt:
    """What a client has got so far, for an application to wait for on its loop or against its loop."""

    def __init__(self) -> None:
        self.arrived = threading.Event()

    async def awaited(self) -> None:
        assert await asyncio.to_thread(self.arrived.wait, DEADLINE)

    def blocked_for(self) -> None:
        assert self.arrived.wait(DEADLINE)
        self.arrived.clear()


def read_parts(client: RawClient, count: int) -> None:
    for _ in range(count):
        size = client.reader.chunk_size()
        assert client.reader.take(size + 2) == PART + b"\r\n"


def test_parts_that_come_together_leave_before_the_application_waits(serve: Serve, connect: Connect) -> None:
    receipt = Receipt()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for _ in range(3):
            await body(send, PART, more=True)
        await receipt.awaited()
        await body(send)

    client = connect(serve(app))
    client.send(request())
    client.reader.head()
    read_parts(client, 3)
    receipt.arrived.set()
    assert client.reader.chunk_size() == 0


def test_part_behind_a_pause_leaves_though_the_loop_is_blocked(serve: Serve, connect: Connect) -> None:
    receipt = Receipt()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for _ in range(3):
            PAUSED.wait(PAUSE)
            await body(send, PART, more=True)
            receipt.blocked_for()
        await body(send)

    client = connect(serve(app))
    client.send(request())
    client.reader.head()
    for _ in range(3):
        read_parts(client, 1)
        receipt.arrived.set()
    assert client.reader.chunk_size() == 0


async def written(app: ASGIApp, parser: Any) -> MemoryTransport:
    """What a connection has written when the application has answered one request."""
    transport = opened(serving(Config(app, http=parser), Bounds(batch_seconds=DEADLINE)))
    await transport.deliver(request())
    await transport.deliver_eof()
    return transport


@pytest.mark.parametrize("count", [10, 500])
def test_many_parts_take_few_writes(parser: str, count: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for _ in range(count):
            await body(send, PART, more=True)
        await body(send)

    transport = asyncio.run(written(app, parser))
    assert transport.written.count(PART) == count
    assert transport.written.endswith(b"\r\n0\r\n\r\n")
    # The first by itself, the others as often as there are enough of them, and the last of them.
    assert transport.writes == 2 + count * len(PART) // 65536


async def break_off(send: Send) -> None:
    raise ValueError


async def return_early(send: Send) -> None:
    return


@pytest.mark.parametrize("end", [break_off, return_early])
def test_parts_before_a_failure_are_sent(
    serve: Serve, connect: Connect, error_log: ErrorLog, end: Callable[[Send], Any]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for _ in range(5):
            await body(send, PART, more=True)
        await end(send)

    client = connect(serve(app))
    client.send(request())
    client.reader.head()
    read_parts(client, 5)
    assert client.read_all() == b""
    error_log.claim_all()


def test_part_that_is_held_leaves_though_the_client_ends(serve: Serve, connect: Connect) -> None:
    """In the middle of its own body, so that nothing can be answered from there on."""
    held = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for _ in range(5):
            await body(send, PART, more=True)
        held.set()
        # Against the loop, which then has the client's end before anything else.
        PAUSED.wait(0.2)
        await receive()

    client = connect(serve(app))
    client.send(b"POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 10\r\n\r\n")
    assert held.wait(DEADLINE)
    client.half_close()
    client.reader.head()
    read_parts(client, 5)
    assert client.read_all() == b""


def test_response_that_was_broken_off_is_not_gone_on_with(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    """Though another task of the application's goes on sending, and the client still reads."""
    has_failed, outcomes = asyncio.Event(), []

    async def go_on(send: Send) -> None:
        await has_failed.wait()
        await asyncio.sleep(PAUSE)
        try:
            for _ in range(5):
                await body(send, PART, more=True)
        except ClientDisconnected:
            # Where the application began at once, nobody knows that this is not its own task.
            outcomes.append("told")
        else:
            outcomes.append("let go")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, PART, more=True)
        tasks.append(asyncio.create_task(go_on(send)))
        has_failed.set()
        raise ValueError

    tasks: list[asyncio.Task[None]] = []
    client = connect(serve(app))
    client.send(request() + b"GET /x")
    client.reader.head()
    read_parts(client, 1)
    assert client.read_all() == b""
    wait_until(lambda: tasks[0].done(), "the task to end")
    assert outcomes in (["let go"], ["told"])
    error_log.expect(ValueError)


def test_parts_without_a_start_end_when_the_client_has_gone(serve: Serve, connect: Connect) -> None:
    """Which nothing else would end: nobody waits for the client, and nobody listens."""
    outcomes = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        accepted = 0
        try:
            while accepted < 10:
                try:
                    await body(send, PART, more=True)
                    accepted += 1
                except RuntimeError:
                    # The client is still there, and the message is out of turn.
                    await asyncio.sleep(PAUSE)
        except ClientDisconnected:
            outcomes.append("told")
            raise
        outcomes.append("let go")

    client = connect(serve(app))
    client.send(request())
    client.reset()
    wait_until(lambda: outcomes, "the application to end")
    assert outcomes == ["told"]
