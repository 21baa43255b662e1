"""How a loop takes up the connections that it accepts, and what it does with those that come to nothing."""

import asyncio
import json
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.apps import respond
from support.embedded_server import Serve
from support.raw_client import Connect, RawClient
from support.waiting import DEADLINE, wait_until

from threadserve import Config
from threadserve.listening.accepted import AcceptedSocket
from threadserve.runtime.loops import find_loop_factory
from threadserve.threads.accept_queue import AcceptQueue
from threadserve.threads.opening import ConnectionOpener
from threadserve.types import Receive, Scope, Send


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the scope's addresses."""
    await respond(send, json.dumps([scope["client"], scope["server"]]).encode())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("bound", "reached"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("0.0.0.0", "127.0.0.2"), ("::", "::1")],
)
def test_the_scope_has_the_addresses_of_the_connection(
    serve: Serve, bound: str, reached: str, threads: int, loop: str
) -> None:
    if ":" in bound and not socket.has_dualstack_ipv6():
        pytest.skip("there is no IPv6 here")
    server = serve(tell, host=bound, threads=threads, lifespan="off", loop=loop)
    for _ in range(2):
        client = RawClient(reached, server.port)
        with client.socket:
            assert json.loads(client.get().body) == [
                list(client.socket.getsockname()[:2]),
                [reached, server.port],
            ]


class CountedTasks:
    """An application that counts the tasks of its loop."""

    def __init__(self) -> None:
        self.made = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            asyncio.get_running_loop().set_task_factory(self.make)
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await respond(send, b"answer")

    def make(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **settings: Any) -> "asyncio.Task[Any]":
        self.made += 1
        return asyncio.Task(coroutine, loop=loop, **settings)


def test_a_plain_connection_is_opened_without_a_task(serve: Serve, connect: Connect, loop: str) -> None:
    app = CountedTasks()
    server = serve(app, loop=loop)
    client = connect(server)
    wait_until(lambda: loads(server) == [(0, 1)], "the connection to be open")
    assert app.made == 0
    assert client.get().body == b"answer"


def loads(server: Any) -> list[tuple[int, int]]:
    return [receiver.load_threadsafe() for receiver in server.server._server_run._acceptor.loops]


class Registry:
    """What is being opened."""

    def __init__(self) -> None:
        self.opening: set[Any] = set()

    def on_opened(self, opening: Any) -> None:
        self.opening.discard(opening)


class Protocol(asyncio.Protocol):
    """Remembers what it is told."""

    def __init__(self, addresses: Any, tls: Any) -> None:
        self.addresses = addresses
        self.transport: asyncio.BaseTransport | None = None
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data


class Place:
    """An opener on a loop that turns when the test says so, and a listener."""

    def __init__(self, loop: str, stack: ExitStack) -> None:
        self.stack = stack
        self.loop = find_loop_factory(loop)()
        stack.callback(self.loop.close)
        self.registry = Registry()
        self.made: list[Protocol] = []
        self.fails_first = False
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.setblocking(False)
        self.queue = AcceptQueue(listener)
        self.opener = ConnectionOpener(self.loop, self.registry, self.make, self.make, Config(tell), None)
        self.clients: list[socket.socket] = []

    def make(self, addresses: Any, tls: Any) -> Protocol:
        self.made.append(Protocol(addresses, tls))
        if self.fails_first and len(self.made) == 1:
            raise ValueError("made by the test")
        return self.made[-1]

    def accepted(self, count: int) -> deque[AcceptedSocket]:
        """So many connections, each with something to read."""
        for _ in range(count):
            client = self.stack.enter_context(socket.create_connection(self.queue.listener.getsockname()))
            client.settimeout(DEADLINE)
            client.sendall(b"hello")
            self.clients.append(client)
        taken: deque[AcceptedSocket] = deque()
        while len(taken) < count:
            taken += self.queue.take_batch()
        return taken

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Has the loop turn until `condition` holds."""

        async def wait() -> None:
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0)

        self.loop.run_until_complete(asyncio.wait_for(wait(), DEADLINE))

    def turn(self, call: Callable[[], object], turns: int) -> None:
        """Makes a call on the loop, and has it turn so many times."""

        async def make() -> None:
            call()
            for _ in range(turns):
                await asyncio.sleep(0)

        self.loop.run_until_complete(make())


@pytest.fixture
def place(loop: str) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(loop, stack)


def test_a_connection_is_open_in_the_next_turn(place: Place) -> None:
    place.turn(lambda: place.opener.open_all(place.accepted(3)), 1)
    assert all(protocol.transport is not None for protocol in place.made)
    place.run_until(lambda: all(protocol.received == b"hello" for protocol in place.made))
    assert not place.registry.opening
    assert [protocol.addresses.client for protocol in place.made] == [each.getsockname() for each in place.clients]
    assert {protocol.addresses.server for protocol in place.made} == {place.queue.listener.getsockname()}
    for protocol in place.made:
        assert protocol.transport is not None
        protocol.transport.close()
    place.turn(place.opener.close, 3)


def test_what_no_protocol_knows_of_is_given_back_unread(place: Place) -> None:
    given_back: list[AcceptedSocket] = []

    def open_and_close() -> None:
        place.opener.open_all(place.accepted(3))
        given_back.extend(place.opener.close())

    place.turn(open_and_close, 5)
    assert not place.made
    for connection, client in zip(given_back, place.clients, strict=True):
        with connection:
            assert connection.peername == client.getsockname()
            assert connection.recv(100) == b"hello"
            connection.sendall(b"taken")
            assert client.recv(100) == b"taken"


def test_what_cannot_be_opened_keeps_nobody_else_from_it(place: Place) -> None:
    errors: list[dict[str, Any]] = []
    place.loop.set_exception_handler(lambda _, context: errors.append(context))
    accepted = place.accepted(3)
    place.fails_first = True
    place.turn(lambda: place.opener.open_all(accepted), 1)
    place.run_until(lambda: all(protocol.received == b"hello" for protocol in place.made[1:]))
    assert [str(error["exception"]) for error in errors] == ["made by the test"]
    assert len(place.made) == 3
    for protocol in place.made[1:]:
        assert protocol.transport is not None
        protocol.transport.close()
    place.turn(place.opener.close, 3)
