"""Clients that go, and clients that only say that they will send no more."""

import asyncio
from collections.abc import Callable

import pytest
from support.apps import Gate, Outcome, body, read_body, respond, start
from support.embedded_server import Serve
from support.raw_client import Connect, RawClient, post, request
from support.waiting import wait_until

from threadserve.types import Receive, Scope, Send

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
    gate, told, refused = Gate(), Outcome(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        gate.arrived += 1
        told.set(await receive())
        try:
            await respond(send, b"too late")
        except OSError as error:
            refused.set(error)
        else:
            refused.set(None)

    client = connect(serve(app, loop=loop))
    client.send(post("/", b"abc"))
    gate.wait_for_arrivals()
    leave(client)
    assert told.get() == {"type": "http.disconnect"}
    assert isinstance(refused.get(), OSError)


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
    blocked, refused = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        sending = asyncio.create_task(send_until_refused(send))
        while not sending.done():
            await asyncio.wait([sending], timeout=0.3)
            blocked.arrived += 1
        refused.set(await sending)

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
