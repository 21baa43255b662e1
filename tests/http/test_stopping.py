"""What a server that stops does with connections on which no request is in flight, and with those on which one is."""

import asyncio

import pytest
from support.apps import body as send_body
from support.apps import read_body, respond, start
from support.bounds import give_bounds
from support.embedded_server import EmbeddedServer, Serve
from support.raw_client import Connect, RawClient, request
from support.waiting import DEADLINE, wait_until

from threadserve.types import Receive, Scope, Send

LONG = 20 * DEADLINE
HEAD = request()
PARTS = [HEAD[:1], HEAD[:9], HEAD[:-2], b"\r\n" + HEAD[:20]]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that have begun something have less time than they have otherwise, so that tests take less."""
    give_bounds(monkeypatch, partial_grace_seconds=0.3, linger_seconds=0.1)


class Streaming:
    """An application whose response to `/stream` goes on until it is told to end."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._may_end = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        if scope["path"] == "/stream":
            self._loop = asyncio.get_running_loop()
            await start(send)
            await send_body(send, b"begun ", more=True)
            await self._may_end.wait()
            await send_body(send, b"ended")
        elif scope["path"] == "/upload":
            await respond(send, await read_body(receive))
        else:
            await respond(send, b"hello")

    def end(self) -> None:
        """Has the response come to its end."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._may_end.set)


def begin_to_stop(server: EmbeddedServer) -> None:
    """Returns when the loop has begun to stop."""
    server.server.should_exit = True
    assert server.server._server_run is not None
    loops = list(server.server._server_run._group._slots)
    wait_until(
        lambda: all(slot.server._context is not None and slot.server._context.registry.is_draining for slot in loops),
        "the stop",
    )


def wait_for_end(server: EmbeddedServer) -> None:
    """The server has ended long before its grace for requests is over."""
    server.thread.join(DEADLINE)
    assert not server.thread.is_alive()


def patient(serve: Serve, app: Streaming) -> EmbeddedServer:
    """A server that waits longer for everything than a test may take."""
    timeouts = ("timeout_graceful_shutdown", "timeout_request_header", "timeout_keep_alive")
    return serve(app, **dict.fromkeys(timeouts, LONG))


def test_part_of_a_head_does_not_hold_up_the_end(serve: Serve, connect: Connect) -> None:
    app = Streaming()
    server = patient(serve, app)
    new, used = [[connect(server) for _ in PARTS] for _ in range(2)]
    for client in used:
        assert client.get().status == 200
    for clients in (new, used):
        for client, part in zip(clients, PARTS, strict=True):
            client.send(part)
    # Taken up after all of them, on the only loop.
    assert connect(server).get().status == 200
    begin_to_stop(server)
    for client in new + used:
        assert client.read_response().status == 408
        assert client.is_closed()
    wait_for_end(server)


def test_a_head_that_begins_during_the_shutdown_has_its_time_too(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, idle_grace_seconds=DEADLINE)
    app = Streaming()
    server = patient(serve, app)
    late, whole = connect(server), connect(server)
    for client in (late, whole):
        assert client.get().status == 200
    begin_to_stop(server)
    late.send(HEAD[:20])
    whole.send(HEAD[:20])
    whole.send(HEAD[20:])
    assert whole.read_response().says_close
    assert late.read_response().status == 408
    wait_for_end(server)


def test_part_of_a_head_behind_a_request_in_flight(serve: Serve, connect: Connect) -> None:
    app = Streaming()
    server = patient(serve, app)
    client = connect(server)
    client.send(request("GET", "/stream") + HEAD[:20])
    begun(client, b"begun ")
    begin_to_stop(server)
    app.end()
    assert client.read_response().body == b"begun ended"
    assert client.read_response().status == 408
    wait_for_end(server)


def test_a_request_behind_one_in_flight_is_answered(serve: Serve, connect: Connect) -> None:
    app = Streaming()
    server = patient(serve, app)
    client = connect(server)
    client.send(request("GET", "/stream") + request("GET", "/second") + request("GET", "/third"))
    begun(client, b"begun ")
    begin_to_stop(server)
    app.end()
    assert client.read_response().body == b"begun ended"
    assert client.read_response().says_close
    assert client.is_closed()
    assert app.paths == ["/stream", "/second"]
    wait_for_end(server)


def test_a_body_that_is_only_read_past_does_not_hold_up_the_end(serve: Serve, connect: Connect) -> None:
    app = Streaming()
    server = patient(serve, app)
    client = connect(server)
    client.send(request("POST", "/", "Content-Length: 10", body=b"part"))
    assert client.read_response("POST").status == 200
    begin_to_stop(server)
    assert client.is_closed()
    wait_for_end(server)


def test_a_slow_body_is_that_of_a_request_in_flight(serve: Serve, connect: Connect) -> None:
    app = Streaming()
    server = patient(serve, app)
    slow, half = connect(server), connect(server)
    slow.send(request("POST", "/upload", "Content-Length: 10", body=b"12345"))
    half.send(HEAD[:20])
    wait_until(lambda: app.paths, "the request")
    begin_to_stop(server)
    # By then the time of a client that has only begun is over.
    assert half.read_response().status == 408
    assert slow.is_silent(0.2)
    slow.send(b"67890")
    response = slow.read_response("POST")
    assert (response.status, response.body, response.says_close) == (200, b"1234567890", True)
    wait_for_end(server)


def begun(client: RawClient, word: bytes) -> None:
    """Returns when the response has begun."""
    while word not in client.reader.buffer:
        assert client.reader.fill()
