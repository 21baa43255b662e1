"""Idle connections of a real server: who has them, who serves their next request, and when they end."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
from support import apps
from support.apps import Gate, echo_body, respond
from support.bounds import give_bounds
from support.certificates import Authority, has_openssl
from support.embedded_server import EmbeddedServer, Serve
from support.raw_client import Connect, RawClient, request
from support.tls_client import encrypt
from support.waiting import DEADLINE, wait_until
from support.websocket_client import echo, text, websocket_clients

from threadserve.http import idle_release
from threadserve.http.idle_release import RELEASED_PER_TURN
from threadserve.http2.frames import PREFACE
from threadserve.threads import balancing
from threadserve.types import Receive, Scope, Send

LONG = 6 * DEADLINE
DISTRIBUTIONS = ["least-busy", "round-robin", "kernel"]
GET = request()


class Blocking:
    """Answers with the name of its thread and the client's port; at /block it blocks the thread until `release`."""

    def __init__(self) -> None:
        self.blocked = threading.Event()
        self.release = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/block":
            self.blocked.set()
            self.release.wait(3 * DEADLINE)
        await respond(send, f"{threading.current_thread().name} {scope['client'][1]}".encode())


@pytest.fixture
def app(serve: Serve) -> Iterator[Blocking]:
    """The application; what it holds is let go before the server stops."""
    made = Blocking()
    yield made
    made.release.set()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections rest for a moment only."""
    give_bounds(monkeypatch, idle_release_seconds=0.0, tick_seconds=0.02)


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections never have rested."""
    give_bounds(monkeypatch, idle_release_seconds=LONG)


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread counts as busier than the others, nor as stalled for being run late."""
    monkeypatch.setattr(balancing, "IMBALANCE_FACTOR", 1000.0)
    monkeypatch.setattr(balancing, "STALLED_SECONDS", 3.0)


def start(serve: Serve, app: Any, **settings: Any) -> EmbeddedServer:
    return serve(app, **{"threads": 2, "lifespan": "off", "timeout_keep_alive": LONG, **settings})


def acceptor_of(server: EmbeddedServer) -> Any:
    assert server.server._server_run is not None
    return server.server._server_run._acceptor


def idle(server: EmbeddedServer) -> int:
    """How many connections no loop has."""
    return len(acceptor_of(server)._idle)


def kept(server: EmbeddedServer) -> int:
    """How many connections the loops have."""
    return sum(loop.load_threadsafe()[1] for loop in acceptor_of(server).loops)


def ticks(server: EmbeddedServer) -> int:
    """How often the loops have looked after their connections."""
    return sum(loop.ticks_threadsafe() for loop in acceptor_of(server).loops)


def wait_for_idle(server: EmbeddedServer, count: int = 1) -> None:
    wait_until(lambda: (idle(server), kept(server)) == (count, 0), f"{count} connections to be idle")


def port_of(client: RawClient) -> int:
    return cast("int", client.socket.getsockname()[1])


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("distribute", DISTRIBUTIONS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_connection_that_rests_belongs_to_no_loop(
    serve: Serve, connect: Connect, app: Blocking, loop: str, distribute: str, threads: int
) -> None:
    server = start(serve, app, loop=loop, threads=threads, distribute=distribute)
    clients = [connect(server) for _ in range(5)]
    for _ in range(3):
        wait_for_idle(server, len(clients))
        for client in clients:
            client.send(GET + GET)
        for client in clients:
            for _ in range(2):
                assert client.read_response().body.split()[1] == b"%d" % port_of(client)
    wait_for_idle(server, len(clients))


@pytest.mark.usefixtures("soon")
def test_an_idle_connection_does_not_wait_for_a_blocked_loop(serve: Serve, connect: Connect, app: Blocking) -> None:
    server = start(serve, app)
    clients = [connect(server) for _ in range(8)]
    assert all(client.get().status == 200 for client in clients)
    wait_for_idle(server, len(clients))
    blocker = connect(server)
    blocker.send(request("GET", "/block"))
    assert app.blocked.wait(DEADLINE)
    assert len({client.get().body.split()[0] for client in clients}) == 1
    app.release.set()
    assert blocker.read_response().status == 200


@pytest.mark.usefixtures("never", "steady")
def test_connections_are_given_back_at_once_after_a_stall(serve: Serve, connect: Connect, app: Blocking) -> None:
    server = start(serve, app)
    clients = [connect(server) for _ in range(8)]
    assert all(client.get().status == 200 for client in clients)
    assert idle(server) == 0
    blocker = connect(server)
    blocker.send(request("GET", "/block"))
    assert app.blocked.wait(DEADLINE)
    # Those of the other loop are; those of this one when it turns again.
    loops = acceptor_of(server).loops
    wait_until(
        lambda: min(loop.load_threadsafe()[1] for loop in loops) == 0 and idle(server) + kept(server) == 9,
        "the other loop's connections to be given back",
    )
    app.release.set()
    assert blocker.read_response().status == 200
    wait_until(lambda: idle(server) >= 8, "the connections of both loops to be given back")
    assert all(client.get().status == 200 for client in clients)
    wait_until(lambda: idle(server) >= 8, "the connections to be given back after one response more")


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize("requests", [0, 1])
@pytest.mark.parametrize("http2", [False, True])
def test_a_crowd_that_only_waits_is_given_back(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, connect: Connect, app: Blocking, http2: bool, requests: int
) -> None:
    if http2:
        pytest.importorskip("h2")
    monkeypatch.setattr(idle_release, "CROWDED_CONNECTIONS", 4)
    server = start(serve, app, threads=1, http2=http2)
    clients = [connect(server) for _ in range(RELEASED_PER_TURN + 14)]
    for client in clients * requests:
        assert client.get().status == 200
    wait_until(lambda: idle(server) >= RELEASED_PER_TURN + 10, "all but four to be given back")
    assert idle(server) + kept(server) == len(clients)
    for client in clients:
        assert client.get().status == 200


@pytest.mark.usefixtures("soon")
def test_an_idle_connection_is_closed_in_time(serve: Serve, connect: Connect, app: Blocking) -> None:
    server = start(serve, app, timeout_keep_alive=1.0)
    client = connect(server)
    assert client.get().status == 200
    wait_for_idle(server)
    assert client.is_silent(0.5)
    assert client.is_closed()
    wait_until(lambda: idle(server) == 0, "the connection to be forgotten")


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("requests", [0, 1])
def test_empty_lines_buy_no_time(serve: Serve, connect: Connect, app: Blocking, requests: int) -> None:
    server = start(serve, app, timeout_keep_alive=1.0, timeout_request_header=1.0)
    client = connect(server)
    for _ in range(requests):
        assert client.get().status == 200
    begun = time.monotonic()
    with suppress(ConnectionError):
        while client.is_silent(0.1):
            assert time.monotonic() - begun < DEADLINE
            client.send(b"\r\n")
        assert client.is_closed()
    wait_until(lambda: (idle(server), kept(server)) == (0, 0), "the connection to be closed")


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("how", ["close", "half_close", "reset"])
def test_a_client_that_leaves_is_noticed(serve: Serve, connect: Connect, app: Blocking, how: str) -> None:
    server = start(serve, app)
    client = connect(server)
    assert client.get().status == 200
    wait_for_idle(server)
    getattr(client, how)()
    wait_until(lambda: (idle(server), kept(server)) == (0, 0), "the connection to be closed")
    if how == "half_close":
        assert client.is_closed()


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("begin", [b"G", GET[:-1], b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"])
def test_a_request_that_has_begun_stays_with_its_loop(serve: Serve, connect: Connect, begin: bytes) -> None:
    server = start(serve, echo_body)
    client, other = connect(server), connect(server)
    assert client.get().status == 200
    wait_for_idle(server, 2)
    client.send(begin)
    wait_until(lambda: (idle(server), kept(server)) == (1, 1), "a loop to take the connection up")
    before = ticks(server)
    wait_until(lambda: ticks(server) > before + 10, "many ticks")
    assert (idle(server), kept(server)) == (1, 1)
    rest = {b"G": GET[1:], GET[:-1]: GET[-1:]}.get(begin, b" body")
    client.send(rest)
    assert client.read_response("POST" if begin.startswith(b"POST") else "GET").status == 200
    wait_for_idle(server, 2)
    assert other.get().status == 200


@pytest.mark.usefixtures("soon")
def test_a_connection_that_is_in_use_stays_with_its_loop(serve: Serve, connect: Connect) -> None:
    gate = Gate()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await apps.start(send)
        await apps.body(send, b"begun", more=True)
        await gate.wait()
        await apps.body(send, b" and ended")

    server = start(serve, slow)
    client = connect(server)
    client.send(GET)
    gate.wait_for_arrivals()
    before = ticks(server)
    wait_until(lambda: ticks(server) > before + 10, "many ticks")
    assert (idle(server), kept(server)) == (0, 1)
    gate.open()
    assert client.read_response().body == b"begun and ended"
    wait_for_idle(server)


@pytest.mark.usefixtures("soon")
def test_a_websocket_stays_with_its_loop(serve: Serve) -> None:
    server = start(serve, echo)
    with websocket_clients() as open_websocket:
        client = open_websocket(server)
        assert client.open().status == 101
        before = ticks(server)
        wait_until(lambda: ticks(server) > before + 10, "many ticks")
        assert (idle(server), kept(server)) == (0, 1)
        client.send(text("still here"))
        assert client.read_text() == "still here"


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("off", ["option", "tls"])
def test_connections_may_stay_with_their_loops(
    serve: Serve, connect: Connect, app: Blocking, tmp_path: Path, off: str
) -> None:
    if off == "tls" and not has_openssl():
        pytest.skip("needs openssl")
    authority = Authority(tmp_path) if off == "tls" else None
    settings = authority.sign("server").settings if authority is not None else {"release_idle": False}
    server = start(serve, app, **settings)
    client = connect(server)
    if authority is not None:
        encrypt(client, authority.client_context())
    assert client.get().status == 200
    before = ticks(server)
    wait_until(lambda: ticks(server) > before + 10, "many ticks")
    assert kept(server) == 1
    assert acceptor_of(server)._idle is None
    assert client.get().status == 200


@pytest.mark.usefixtures("soon")
def test_a_unix_sockets_connection_rests_too(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "server.sock"

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, f"{scope['client']} {scope['server']}".encode())

    server = start(serve, told, uds=str(path))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(str(path))
        for _ in range(3):
            wait_for_idle(server)
            client.sendall(GET)
            assert client.recv(4096).endswith(f"\r\n\r\nNone ('{path}', None)".encode())


@pytest.mark.usefixtures("soon")
def test_what_a_proxy_said_of_a_connection_stays_true(serve: Serve, connect: Connect) -> None:
    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, f"{scope['client']} {scope['server']}".encode())

    server = start(serve, told, proxy_protocol=True, forwarded_allow_ips="127.0.0.1")
    client = connect(server)
    client.send(b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n")
    for _ in range(3):
        wait_for_idle(server)
        assert client.get().body == b"('192.0.2.1', 56324) ('198.51.100.7', 443)"


@pytest.mark.usefixtures("soon")
def test_the_version_of_http_is_settled_by_what_a_client_sends_first(
    serve: Serve, connect: Connect, app: Blocking
) -> None:
    pytest.importorskip("h2")
    server = start(serve, app, http2=True)
    silent, first = connect(server), connect(server)
    assert first.get().status == 200
    wait_for_idle(server, 2)
    silent.send(PREFACE + b"\0\0\0\4\0\0\0\0\0")
    assert silent.socket.recv(9)[3] == 4
    first.send(PREFACE)
    assert first.read_response().status == 505


@pytest.mark.usefixtures("soon")
def test_the_end_closes_what_has_rested_and_answers_what_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, connect: Connect, app: Blocking
) -> None:
    give_bounds(monkeypatch, idle_grace_seconds=2 * DEADLINE)
    server = start(serve, app)
    old, used = connect(server), connect(server)
    for client in (old, used):
        assert client.get().status == 200
    wait_for_idle(server, 2)
    # As if it had not been used since long before that.
    for connection in acceptor_of(server)._idle._connections.values():
        if connection.peername[1] == port_of(old):
            connection.deadline -= 3 * DEADLINE
    server.server.should_exit = True
    assert old.is_closed()
    # Its loop hears of the end a moment later.
    while not (response := used.get()).says_close:
        assert response.status == 200
    assert response.status == 200
    assert used.is_closed()
