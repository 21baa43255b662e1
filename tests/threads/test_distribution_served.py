"""Connections over the threads of a real server, for every value of `--distribute`."""

import asyncio
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from support.apps import Gate, respond
from support.embedded_server import EmbeddedServer, Serve
from support.raw_client import Connect, RawClient
from support.waiting import DEADLINE, wait_until

from threadserve.observer import Observer
from threadserve.types import Receive, Scope, Send

THREADS = 4
NAMES = {f"threadserve-{number}" for number in range(1, THREADS + 1)}
# What a busy request takes of its thread, and how far apart clients come who keep it busy, in seconds.
BUSY = 0.03
APART = 0.002
CLIENTS = 32
DISTRIBUTIONS = ["least-busy", "round-robin", "kernel"]


class Blocking:
    """Answers with the name of its thread; at /block it blocks the thread until it is released, at /wait the task.

    At /busy it holds the thread for a moment, as one does that computes.
    """

    def __init__(self) -> None:
        self.blocked = threading.Event()
        self.release = threading.Event()
        self.gate = Gate()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/block":
            self.blocked.set()
            self.release.wait(3 * DEADLINE)
        elif scope["path"] == "/wait":
            await self.gate.wait()
        elif scope["path"] == "/busy":
            self.release.wait(BUSY)
        await respond(send, threading.current_thread().name.encode())


@pytest.fixture
def app(serve: Serve) -> Iterator[Blocking]:
    """The application; whatever it holds is let go before the server stops."""
    made = Blocking()
    yield made
    made.gate.open()
    made.release.set()


@pytest.fixture
def no_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the acceptor's next tick waits for longer than a slow machine takes for anything else."""
    monkeypatch.setattr(Observer, "interval", 3 * DEADLINE)


def start(serve: Serve, app: Blocking, distribute: str, threads: int = THREADS) -> EmbeddedServer:
    return serve(app, threads=threads, distribute=distribute, lifespan="off", timeout_keep_alive=6 * DEADLINE)


def loads(server: EmbeddedServer) -> list[tuple[int, int]]:
    """The requests in flight and the connections of each thread."""
    assert server.server._server_run is not None
    return [loop.load_threadsafe() for loop in server.server._server_run._acceptor.loops]


@pytest.mark.parametrize("distribute", DISTRIBUTIONS)
def test_every_thread_answers_concurrent_clients(serve: Serve, app: Blocking, distribute: str) -> None:
    server = start(serve, app, distribute)
    names: set[bytes] = set()
    # More than once, for a thread that the system does not run for a while gets no connections.
    for _ in range(20):
        names |= ask_from_threads(server)
        if len(names) == THREADS:
            break
    assert names == {name.encode() for name in NAMES}


def ask_from_threads(server: EmbeddedServer) -> set[bytes]:
    """Asks 400 times over 80 connections from eight threads; returns the different answers."""
    answers: list[bytes] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        clients = [RawClient(server.host, server.port) for _ in range(10)]
        barrier.wait(DEADLINE)
        for _ in range(5):
            answers.extend(client.get().body for client in clients)
        for client in clients:
            client.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(answers) == 8 * 10 * 5
    return set(answers)


@pytest.mark.parametrize("distribute", DISTRIBUTIONS)
def test_a_new_connection_per_request(serve: Serve, connect: Connect, app: Blocking, distribute: str) -> None:
    server = start(serve, app, distribute)
    for _ in range(100):
        client = connect(server)
        assert client.get("/", "Connection: close").status == 200
        assert client.is_closed()


@pytest.mark.usefixtures("no_stalls")
@pytest.mark.parametrize("distribute", ["least-busy", "round-robin"])
def test_kept_connections_are_spread_evenly(serve: Serve, connect: Connect, app: Blocking, distribute: str) -> None:
    server = start(serve, app, distribute)
    answers: Counter[bytes] = Counter()
    for _ in range(THREADS * 10):
        # A client may have its answer before the request counts as ended.
        wait_until(lambda: not any(requests for requests, _ in loads(server)), "the answered request to end")
        answers[connect(server).get().body] += 1
    assert len(answers) == THREADS
    assert max(answers.values()) - min(answers.values()) <= 4


@pytest.mark.parametrize("distribute", ["least-busy", "round-robin"])
def test_clients_that_keep_all_threads_busy_are_spread_over_them(serve: Serve, app: Blocking, distribute: str) -> None:
    server = start(serve, app, distribute)
    answers = Counter(asyncio.run(asyncio.wait_for(keep_busy(server), DEADLINE)))
    assert sum(answers.values()) == CLIENTS
    assert len(answers) == THREADS
    assert max(answers.values()) <= CLIENTS // 2


async def keep_busy(server: EmbeddedServer) -> list[str]:
    """Clients come one after the other, and ask without a pause until all have been answered.

    Returns who answered first.
    """
    unanswered, all_answered = CLIENTS, asyncio.Event()

    async def ask(number: int) -> str:
        nonlocal unanswered
        await asyncio.sleep(number * APART)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        answer = await asked(reader, writer)
        unanswered -= 1
        if not unanswered:
            all_answered.set()
        while not all_answered.is_set():
            assert await asked(reader, writer) in NAMES
        writer.close()
        await writer.wait_closed()
        return answer

    return await asyncio.gather(*map(ask, range(CLIENTS)))


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Asks on a connection that is kept; returns the name of the thread that answered."""
    writer.write(b"GET /busy HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return (await reader.readexactly(length)).decode()


@pytest.mark.usefixtures("no_stalls")
def test_least_busy_looks_at_requests_before_connections(serve: Serve, connect: Connect, app: Blocking) -> None:
    server = start(serve, app, "least-busy", threads=2)
    idle = connect(server)
    crowded = idle.get().body
    waiting = connect(server)
    waiting.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    app.gate.wait_for_arrivals()
    # One idle connection there and one request here; in the end four idle ones there, and still one request here.
    for _ in range(3):
        wait_until(lambda: sum(requests for requests, _ in loads(server)) == 1, "the answered request to end")
        assert connect(server).get().body == crowded
    app.gate.open()
    assert waiting.read_response().body != crowded


def seconds_of(server: EmbeddedServer, answers: set[bytes]) -> float:
    """How long a new client waits for its answer, which joins `answers`."""
    begun = time.monotonic()
    client = RawClient(server.host, server.port)
    answers.add(client.get().body)
    client.close()
    return time.monotonic() - begun


@pytest.mark.usefixtures("no_ticks")
@pytest.mark.parametrize("distribute", ["least-busy", "round-robin"])
def test_a_blocked_thread_gets_no_new_connection(
    serve: Serve, connect: Connect, app: Blocking, distribute: str
) -> None:
    server = start(serve, app, distribute)
    blocking = connect(server)
    blocking.send(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
    assert app.blocked.wait(DEADLINE)
    answers: set[bytes] = set()
    seconds = [seconds_of(server, answers) for _ in range(60)]
    # A thread that the system does not run for a while gets its connections later.
    wait_until(lambda: len(answers) == THREADS - 1 or not seconds_of(server, answers), "the other threads to answer")
    app.release.set()
    assert blocking.read_response().body not in answers
    assert len(answers) == THREADS - 1
    assert statistics.median(seconds) < 0.5
    assert max(seconds) < DEADLINE


@pytest.mark.usefixtures("no_ticks")
def test_busy_threads_are_no_reason_to_wait_for_a_blocked_one(serve: Serve, connect: Connect, app: Blocking) -> None:
    server = start(serve, app, "least-busy", threads=2)
    blocking = connect(server)
    blocking.send(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
    assert app.blocked.wait(DEADLINE)
    # The other thread has three requests in flight, the blocked one has one: by the numbers it would be chosen.
    waiting = [connect(server) for _ in range(3)]
    for client in waiting:
        client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    app.gate.wait_for_arrivals(3)
    seconds = [seconds_of(server, set()) for _ in range(30)]
    app.gate.open()
    app.release.set()
    assert {client.read_response().body for client in waiting}.isdisjoint({blocking.read_response().body})
    assert statistics.median(seconds) < 0.5
    assert max(seconds) < DEADLINE


def test_a_thread_that_was_blocked_gets_connections_again(serve: Serve, connect: Connect, app: Blocking) -> None:
    server = start(serve, app, "round-robin", threads=2)
    blocking = connect(server)
    blocking.send(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
    assert app.blocked.wait(DEADLINE)
    for _ in range(4):
        connect(server).get()
    app.release.set()
    blocking.read_response()
    answers: set[bytes] = set()
    wait_until(lambda: len(answers) == 2 or not seconds_of(server, answers), "the thread that was blocked to answer")
