"""The server as a part of programs: run, served beside other things, stopped and started again."""

import asyncio
import gc
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.apps import Gate, Outcome, hello, respond
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.raw_client import RawClient, request
from support.waiting import DEADLINE, wait_until

import threadserve
from threadserve import Config, Server
from threadserve.errors import BindError, ConfigError
from threadserve.threads.futures import resolve
from threadserve.types import ASGIApp, Receive, Scope, Send

ROOT = Path(__file__).parents[1]
STOPPING = (signal.SIGINT, signal.SIGTERM)


def make(app: ASGIApp, **settings: Any) -> Server:
    """A server on a free port; its log is left to pytest."""
    return Server(Config(app, **{"port": 0, "log_config": None, "lifespan": "off", **settings}))


def get(server: Server, target: str = "/") -> bytes:
    """What a server answers to one request."""
    host, port = server.addresses[0]
    client = RawClient(host, port)
    try:
        return client.get(target, "Connection: close").body
    finally:
        client.close()


async def until_started(server: Server, serving: "asyncio.Task[None]") -> None:
    """Returns when a server serves, or has failed."""
    await asyncio.to_thread(wait_until, lambda: server.started or serving.done(), "the server to start")


@contextmanager
def helping(call: Callable[[], object], server: Server) -> Iterator[Outcome]:
    """Makes a call on another thread once the server has started, leaves its result, and stops the server."""
    outcome = Outcome()

    def help_out() -> None:
        try:
            wait_until(lambda: server.started, "the server to start")
            outcome.set(call())
        finally:
            server.should_exit = True

    helper = threading.Thread(target=help_out)
    helper.start()
    yield outcome
    helper.join(DEADLINE)


def test_run_serves_on_the_main_thread_and_gives_the_signals_back() -> None:
    server = make(hello, threads=2)
    found = [signal.getsignal(number) for number in STOPPING]

    def look() -> tuple[bytes, bool]:
        return get(server, "/path"), [signal.getsignal(number) for number in STOPPING] == found

    assert not server.started
    with helping(look, server) as outcome:
        server.run()
    assert outcome.get() == (b"/path", False)
    assert [signal.getsignal(number) for number in STOPPING] == found


def test_run_on_another_thread_leaves_the_signals_alone(serve: Serve) -> None:
    found = [signal.getsignal(number) for number in STOPPING]
    server = serve(hello)
    assert [signal.getsignal(number) for number in STOPPING] == found
    assert get(server.server, "/path") == b"/path"


def test_run_takes_the_objects_there_are_out_of_later_collections() -> None:
    server = make(hello)
    with helping(gc.get_freeze_count, server) as outcome:
        server.run()
    assert outcome.get() > 1000
    assert gc.get_freeze_count() == 0


def test_embedded_it_leaves_the_collections_alone(serve: Serve) -> None:
    serve(hello)
    assert gc.get_freeze_count() == 0


def test_the_function_serves_an_object_with_settings() -> None:
    # Bound, it is nobody else's; as it does not listen, the server may have it too.
    free = socket.socket()
    free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]

    async def stopping(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"last")
        signal.raise_signal(signal.SIGTERM)

    def ask() -> bytes:
        client: list[RawClient] = []

        def connected() -> bool:
            try:
                client.append(RawClient("127.0.0.1", port))
            except ConnectionRefusedError:
                return False
            return True

        wait_until(connected, "the server to listen")
        try:
            return client[0].get("/").body
        finally:
            client[0].close()

    outcome = Outcome()
    helper = threading.Thread(target=lambda: outcome.set(ask()))
    helper.start()
    with free:
        threadserve.run(stopping, port=port, lifespan="off", log_config=None)
    assert outcome.get() == b"last"
    helper.join(DEADLINE)


def test_an_embedded_server_uses_the_loop_of_the_program() -> None:
    async def program() -> None:
        loop = asyncio.get_running_loop()
        shared: asyncio.Queue[str] = asyncio.Queue()
        ready = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert asyncio.get_running_loop() is loop
            shared.put_nowait(scope["path"])
            await ready.wait()
            await respond(send, b"shared")

        server = make(app)
        serving = asyncio.create_task(server.serve())
        await until_started(server, serving)
        answer = asyncio.create_task(asyncio.to_thread(get, server, "/from/the/app"))
        assert await shared.get() == "/from/the/app"
        ready.set()
        assert await answer == b"shared"
        server.should_exit = True
        await serving

    asyncio.run(asyncio.wait_for(program(), 2 * DEADLINE))


@pytest.mark.usefixtures("no_stalls")
def test_an_embedded_server_may_have_more_threads() -> None:
    names: set[str] = set()
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        names.add(threading.current_thread().name)
        await gate.wait()
        await respond(send, b"served")

    async def program() -> None:
        server = make(app, threads=3, distribute="round-robin")
        serving = asyncio.create_task(server.serve())
        await until_started(server, serving)
        answers = [asyncio.create_task(asyncio.to_thread(get, server)) for _ in range(3)]
        await asyncio.to_thread(gate.wait_for_arrivals, 3)
        gate.open()
        assert await asyncio.gather(*answers) == [b"served"] * 3
        server.should_exit = True
        await serving

    asyncio.run(asyncio.wait_for(program(), 2 * DEADLINE))
    assert names == {"MainThread", "threadserve-2", "threadserve-3"}


async def phases(scope: Scope, receive: Receive, send: Send) -> None:
    """Notes in `PHASES` how its lifespan goes; answers when the gate is open."""
    if scope["type"] != "lifespan":
        await GATES[-1].wait()
        await respond(send, b"complete")
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})
    PHASES.append("up")
    await receive()
    PHASES.append("down")
    await send({"type": "lifespan.shutdown.complete"})


PHASES: list[str] = []
GATES: list[Gate] = []


@pytest.fixture
def gate() -> Gate:
    """What requests to `phases` wait for."""
    PHASES.clear()
    GATES.append(Gate())
    return GATES[-1]


def test_serve_stops_in_order_when_it_is_cancelled(gate: Gate) -> None:
    async def program() -> None:
        server = make(phases, lifespan="on")
        serving = asyncio.create_task(server.serve())
        await until_started(server, serving)
        answer = asyncio.create_task(asyncio.to_thread(get, server))
        await asyncio.to_thread(gate.wait_for_arrivals)
        serving.cancel()
        await asyncio.sleep(0)
        assert server.should_exit
        assert not serving.done()
        gate.open()
        assert await answer == b"complete"
        with pytest.raises(asyncio.CancelledError):
            await serving

    asyncio.run(asyncio.wait_for(program(), 2 * DEADLINE))
    assert PHASES == ["up", "down"]


def test_serve_stops_at_once_when_it_is_cancelled_again(gate: Gate, error_log: ErrorLog) -> None:
    async def program() -> set["asyncio.Task[Any]"]:
        before = asyncio.all_tasks()
        server = make(phases, lifespan="on")
        serving = asyncio.create_task(server.serve())
        await until_started(server, serving)
        host, port = server.addresses[0]
        client = RawClient(host, port)
        client.send(request())
        await asyncio.to_thread(gate.wait_for_arrivals)
        serving.cancel()
        await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert await asyncio.to_thread(client.is_closed)
        client.close()
        await asyncio.sleep(0)
        return asyncio.all_tasks() - before

    assert asyncio.run(asyncio.wait_for(program(), 2 * DEADLINE)) == set()
    error_log.expect(text="Cut off 1 request at once: GET / ")


def test_a_program_that_ends_takes_the_server_with_it(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    async def program() -> None:
        server = make(phases, lifespan="on")
        serving = asyncio.create_task(server.serve())
        await until_started(server, serving)

    asyncio.run(asyncio.wait_for(program(), 2 * DEADLINE))
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
    wait_until(lambda: not any("threadserve" in thread.name for thread in threading.enumerate()), "the threads to end")


INTERRUPTED = """
import asyncio, signal, sys
from threadserve import Config, Server

async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.complete"})
    print("up", flush=True)
    await receive()
    print("down", flush=True)
    await send({"type": "lifespan.shutdown.complete"})

async def main():
    try:
        await Server(Config(app, port=0, loop=sys.argv[1])).serve()
    finally:
        print("served", flush=True)

try:
    if sys.argv[1] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", STOPPING)
def test_the_signal_that_stopped_serve_reaches_the_program(loop: str, number: signal.Signals) -> None:
    command = [sys.executable, "-c", INTERRUPTED, loop]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while "running on" not in (line := process.stderr.readline()):
            assert line
        process.send_signal(number)
        told = process.stdout.read().split()
        code = process.wait(DEADLINE)
    if number == signal.SIGINT:
        assert (told, code) == (["up", "down", "served", "interrupted"], 0)
    else:
        assert (told, code) == (["up", "down"], -signal.SIGTERM)


def test_run_leaves_no_thread_behind(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve_slowly(*arguments: Any) -> None:
        resolve(*arguments)
        threading.Event().wait(0.2)

    monkeypatch.setattr("threadserve.threads.futures.resolve", resolve_slowly)
    serve(hello, threads=1).stop()


def test_a_port_can_be_served_again_at_once() -> None:
    port = 0
    for _ in range(3):
        server = make(hello, port=port)
        with helping(partial(get, server, "/again"), server) as outcome:
            server.run()
        assert outcome.get() == b"/again"
        port = server.addresses[0][1]
    with pytest.raises(ConnectionRefusedError):
        RawClient("127.0.0.1", port)


def test_a_server_that_has_ended_can_be_run_again() -> None:
    server = make(hello)
    for path in ("/first", "/second"):
        serving = threading.Thread(target=server.run, daemon=True)
        serving.start()
        wait_until(lambda: answers(server, path), "an answer")  # noqa: B023
        server.should_exit = True
        serving.join(DEADLINE)
        server.should_exit = False


def answers(server: Server, path: str) -> bool:
    """Whether a server answers; one that is being started again still has its old addresses, and then none."""
    try:
        return get(server, path) == path.encode()
    except (ConnectionRefusedError, IndexError):
        return False


def test_servers_in_one_process_do_not_meddle(serve: Serve) -> None:
    first, second, third = serve(hello, threads=2), serve(hello, threads=2, distribute="kernel"), serve(hello)
    assert len({first.port, second.port, third.port}) == 3
    second.server.should_exit = True
    second.thread.join(DEADLINE)
    assert [get(server.server, "/still") for server in (first, third)] == [b"/still"] * 2
    with pytest.raises(ConnectionRefusedError):
        get(second.server)


@pytest.mark.parametrize("distribute", ["least-busy", "kernel"])
def test_a_server_takes_the_sockets_that_it_is_given(distribute: str) -> None:
    listeners = [socket.socket() for _ in range(2)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    addresses = [listener.getsockname() for listener in listeners]
    server = make(hello, threads=2, distribute=distribute)

    def ask() -> list[bytes]:
        assert server.addresses == addresses
        clients = [RawClient(*address) for address in addresses for _ in range(2)]
        bodies = [client.get("/given").body for client in clients]
        for client in clients:
            client.close()
        return bodies

    with helping(ask, server) as outcome:
        server.run(listeners)
    assert outcome.get() == [b"/given"] * 4
    assert [listener.fileno() for listener in listeners] == [-1, -1]


def test_a_port_in_use_is_raised() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BindError, match=f"127.0.0.1:{port}: address already in use"):
            make(hello, port=port).run()


def test_a_bad_number_of_threads_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threadserve.config.defaults.is_free_threaded_build", lambda: True)
    monkeypatch.setenv("WEB_CONCURRENCY", "0")
    with pytest.raises(ConfigError, match="WEB_CONCURRENCY"):
        make(hello).run()
    # A socket that is left is a warning now, and that an error.
    gc.collect()
