"""Clients that go, and clients that only say that they will send no more."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from support.apps import Gate, Outcome, body, read_body, respond, start
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, RawClient, post, request
from support.waiting import wait_until

from threadserve.types import Message, Receive, Scope, Send

# Of the kernel's buffers on both sides.
MORE_THAN_QUEUES = 32_000_000
GOING = [RawClient.close, RawClient.reset]
pytestmark = pytest.mark.parametrize("leave", GOING, ids=["FIN", "RST"])


async def send_until_refused(send: Send) -> BaseException:
    """Sends pieces of a body until that raises, which must happen within 100 MB; returns what was raised."""
    try:
        for _ in range(1600):
            await body(send, b"x" * 65536, more=True)
            await asyncio.sleep(0)
    except BaseException as error:
        return error
    raise AssertionError("a client that has gone was sent 100 MB")


def test_receive_that_waits_is_told(
    serve: Serve, connect: Connect, loop: str, leave: Callable[[RawClient], None]
) -> None:
    gate, told, completed = Gate(), Outcome(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        gate.arrived += 1
        told.set(await receive())
        await start(send)
        for _ in range(3):
            await body(send, b"too late", more=True)
        await body(send, b"too late", more=False)
        completed.set()

    client = connect(serve(app, loop=loop))
    client.send(post("/", b"abc"))
    gate.wait_for_arrivals()
    leave(client)
    assert told.get() == {"type": "http.disconnect"}
    completed.get()


def test_application_that_asks_later_is_told_again_and_again(
    serve: Serve, connect: Connect, loop: str, leave: Callable[[RawClient], None]
) -> None:
    gate, told = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await gate.wait()
        told.set([(await receive())["type"] for _ in range(3)])

    client = connect(serve(app, loop=loop))
    client.send(request())
    gate.wait_for_arrivals()
    leave(client)
    gate.open()
    assert told.get() == ["http.disconnect"] * 3


def test_client_that_goes_in_the_middle_of_its_body(
    serve: Serve, connect: Connect, loop: str, leave: Callable[[RawClient], None]
) -> None:
    gate, messages = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        first = await receive()
        gate.arrived += 1
        messages.set([first, await receive()])

    client = connect(serve(app, loop=loop))
    client.send(request("POST", "/", "Content-Length: 6", body=b"abc"))
    gate.wait_for_arrivals()
    leave(client)
    assert messages.get() == [
        {"type": "http.request", "body": b"abc", "more_body": True},
        {"type": "http.disconnect"},
    ]


@pytest.mark.parametrize("length", [None, 300_000], ids=["whole", "parts of a known length"])
def test_response_for_a_client_that_has_gone_is_completed_in_silence(
    serve: Serve, connect: Connect, loop: str, leave: Callable[[RawClient], None], length: int | None
) -> None:
    """What the application does behind its response, it does for clients that have left as well."""
    gate, completed = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/left":
            await respond(send)
            return
        await gate.wait()
        if length is None:
            await respond(send, b"x" * 100_000)
        else:
            await start(send, headers=[(b"content-length", b"%d" % length)])
            for _ in range(length // 1000):
                await body(send, b"x" * 1000, more=True)
            await body(send, b"", more=False)
        completed.set()

    server = serve(app, loop=loop)
    client = connect(server)
    client.send(request("GET", "/left"))
    gate.wait_for_arrivals()
    leave(client)
    # Once this is answered the loop has seen what came before it.
    assert connect(server).get("/stays").status == 200
    gate.open()
    completed.get()


def test_stream_in_a_task_of_its_own_is_let_go(
    serve: Serve, connect: Connect, loop: str, leave: Callable[[RawClient], None]
) -> None:
    """Whoever reads from a queue that such a task fills, or the other way, would wait for ever if it broke."""
    gone, sent = Gate(), Outcome()

    async def stream(send: Send) -> int:
        await gone.wait()
        for _ in range(100):
            await body(send, b"x" * 65536, more=True)
        return 100

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"first", more=True)
        sent.set(await asyncio.create_task(stream(send)))

    client = connect(serve(app, loop=loop))
    client.send(request())
    assert client.reader.head().status == 200
    gone.wait_for_arrivals()
    leave(client)
    gone.open()
    assert sent.get() == 100


def test_part_for_a_client_that_has_gone_takes_no_turn_of_the_loop(
    serve: Serve, connect: Connect, loop: str, leave: Callable[[RawClient], None]
) -> None:
    """A stream is cancelled where it waits for its next part then, and ends; within `send` it would only be left."""
    gate, seen = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await start(send)
        await body(send, b"first", more=True)
        gate.arrived += 1
        await receive()
        turns: list[str] = []
        asyncio.get_running_loop().call_soon(turns.append, "a turn")
        for _ in range(10):
            await body(send, b"too late", more=True)
        seen.set(list(turns))

    client = connect(serve(app, loop=loop))
    client.send(request())
    gate.wait_for_arrivals()
    leave(client)
    assert seen.get() == []


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"1000000000000")]], ids=["endless", "long"])
def test_stream_that_never_waits_lets_others_have_their_turn(
    serve: Serve, connect: Connect, loop: str, leave: Callable[[RawClient], None], headers: list[tuple[bytes, bytes]]
) -> None:
    gate, ended = Gate(), Outcome()

    async def stream(send: Send) -> None:
        while True:
            await body(send, b"too late", more=True)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await start(send, headers=headers)
        await body(send, b"first", more=True)
        gate.arrived += 1
        await receive()
        ended.set(await asyncio.wait([asyncio.create_task(stream(send))], timeout=0.01))

    client = connect(serve(app, loop=loop))
    client.send(request())
    gate.wait_for_arrivals()
    leave(client)
    ended.get()


def test_stream_for_a_slow_reader_that_goes_is_cancelled_where_it_waits(
    serve: Serve, connect: Connect, loop: str, leave: Callable[[RawClient], None]
) -> None:
    gate, seen = Gate(), Outcome()

    async def stream(send: Send) -> None:
        place = "in send"
        try:
            gate.arrived += 1
            await body(send, bytes(MORE_THAN_QUEUES), more=True)
            place = "behind it"
            await asyncio.Event().wait()
        finally:
            seen.set(place)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await start(send)
        task = asyncio.create_task(stream(send))
        await receive()
        task.cancel()
        await asyncio.wait([task])

    client = connect(serve(app, loop=loop), receive_buffer=65536)
    client.send(request())
    gate.wait_for_arrivals()
    leave(client)
    assert seen.get() == "behind it"


def test_send_raises_oserror_once_the_client_has_gone(
    serve: Serve, connect: Connect, loop: str, leave: Callable[[RawClient], None]
) -> None:
    refused = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"first", more=True)
        refused.set([await send_until_refused(send), await send_until_refused(send)])

    client = connect(serve(app, loop=loop))
    client.send(request())
    assert client.reader.head().status == 200
    leave(client)
    assert [isinstance(error, OSError) for error in refused.get()] == [True, True]


def test_send_that_waits_for_a_slow_reader_raises_oserror_when_it_goes(
    serve: Serve, connect: Connect, loop: str, leave: Callable[[RawClient], None]
) -> None:
    blocked, refused, under_way = Gate(), Outcome(), asyncio.Event()

    async def notice() -> None:
        while under_way.is_set():
            under_way.clear()
            await asyncio.sleep(0.3)
        blocked.arrived += 1

    async def noted(send: Send, message: Message) -> None:
        under_way.set()
        await send(message)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        under_way.set()
        noticing = asyncio.create_task(notice())
        refused.set(await send_until_refused(partial(noted, send)))
        await noticing

    client = connect(serve(app, loop=loop), receive_buffer=65536)
    client.send(request())
    blocked.wait_for_arrivals(1)
    leave(client)
    assert isinstance(refused.get(), OSError)


def test_oserror_of_a_client_that_has_gone_is_no_error_of_the_application(
    serve: Serve, connect: Connect, loop: str, leave: Callable[[RawClient], None]
) -> None:
    """The application lets it pass; the `error_log` fixture sees that nothing is logged as an error."""
    ended = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await start(send)
            while True:
                await body(send, b"x" * 65536, more=True)
        finally:
            ended.set()

    client = connect(serve(app, loop=loop))
    client.send(request())
    assert client.reader.head().status == 200
    leave(client)
    ended.get()


@pytest.mark.parametrize("wrap", ["cause", "context", "group", "group of causes"])
def test_what_comes_of_that_oserror_is_no_error_of_the_application_either(
    serve: Serve, connect: Connect, loop: str, leave: Callable[[RawClient], None], wrap: str
) -> None:
    ended = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        error = await send_until_refused(send)
        cause = RuntimeError("the stream has ended")
        cause.__cause__ = error
        ended.set()
        if wrap == "cause":
            raise cause
        if wrap == "context":
            try:
                raise error
            except OSError:
                raise RuntimeError("the stream has ended")  # noqa: B904 (what is raised beside it)
        raise BaseExceptionGroup("", [error if wrap == "group" else cause])

    client = connect(serve(app, loop=loop))
    client.send(request())
    assert client.reader.head().status == 200
    leave(client)
    ended.get()


def test_errors_of_an_application_whose_client_has_gone_are_logged(
    serve: Serve,
    connect: Connect,
    loop: str,
    leave: Callable[[RawClient], None],
    error_log: ErrorLog,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        error = await send_until_refused(send)
        raise BaseExceptionGroup("", [error, ValueError("a mistake")])

    client = connect(serve(app, loop=loop))
    client.send(request())
    assert client.reader.head().status == 200
    leave(client)
    error_log.expect(BaseExceptionGroup)


def test_mistake_that_was_taken_out_of_its_group_is_logged(
    serve: Serve, connect: Connect, loop: str, leave: Callable[[RawClient], None], error_log: ErrorLog
) -> None:
    """As Starlette raises what an application did in a group of tasks: its context is the group, which has it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        mistake = ValueError("a mistake")
        try:
            raise BaseExceptionGroup("", [mistake])
        except BaseExceptionGroup as group:
            raise group.exceptions[0]  # noqa: B904 (it is to have the context)

    client = connect(serve(app, loop=loop))
    assert client.get("/").status == 500
    leave(client)
    error_log.expect(ValueError, "a mistake")


def test_server_goes_on_serving_after_clients_left(
    serve: Serve, connect: Connect, loop: str, leave: Callable[[RawClient], None]
) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/left":
            gate.arrived += 1
            while (await receive())["type"] != "http.disconnect":
                pass
        else:
            await respond(send, b"ok")

    server = serve(app, loop=loop, limit_concurrency=1)
    for number in range(3):
        client = connect(server)
        client.send(request("GET", "/left"))
        gate.wait_for_arrivals(number + 1)
        leave(client)
        wait_until(lambda: connect(server).get("/stays").status == 200, "the place of the client that left")
