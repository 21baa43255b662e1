"""Load: starting and stopping under it loses nothing and leaves nothing behind, and its limit is kept exactly."""

import asyncio
import gc
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.apps import Gate, respond
from support.embedded_server import EmbeddedServer, Serve
from support.error_log import ErrorLog
from support.load import Load
from support.raw_client import Connect, RawClient, request
from support.waiting import DEADLINE, wait_until

from threadserve import Config, Server
from threadserve.runtime.gil import is_free_threaded_build
from threadserve.types import Receive, Scope, Send

THREADS, CYCLES = (8, 10) if is_free_threaded_build() else (3, 3)


class Counting:
    """An application that counts its lifespans and its requests."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.up = self.down = self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
            return
        with self.lock:
            self.requests += 1
        await asyncio.sleep(0)
        await respond(send, b"counted")

    async def lifespan(self, receive: Receive, send: Send) -> None:
        """Counts both ends of a lifespan."""
        await receive()
        with self.lock:
            self.up += 1
        await send({"type": "lifespan.startup.complete"})
        await receive()
        with self.lock:
            self.down += 1
        await send({"type": "lifespan.shutdown.complete"})


class Resources:
    """What the process holds: descriptors, threads, objects of asyncio."""

    def __init__(self) -> None:
        gc.collect()
        self.descriptors = {entry.name: readable(entry) for entry in Path("/proc/self/fd").iterdir()}
        self.threads = {thread.name for thread in threading.enumerate()}
        self.tasks = sum(isinstance(found, asyncio.Task) for found in gc.get_objects())

    def check_no_more_than(self, before: "Resources") -> None:
        """Raises AssertionError if there is anything that was not there before."""
        assert self.threads <= before.threads
        assert len(self.descriptors) <= len(before.descriptors), self.descriptors
        assert self.tasks <= before.tasks


def readable(entry: Path) -> str:
    """What a descriptor is of."""
    try:
        return str(entry.readlink())
    except OSError:
        # The one with which the folder is read.
        return ""


def stress(server: Any) -> Load:
    """Puts a server under load, until it refuses clients."""
    load = Load(server, keep_alive=6, fresh=2, expected=b"counted")
    load.start()
    load.wait_for_answers()
    return load


@pytest.mark.parametrize("distribute", ["least-busy", "kernel"])
def test_no_start_and_stop_under_load_loses_or_leaves_anything(error_log: ErrorLog, distribute: str) -> None:
    app = Counting()
    before: Resources | None = None
    for _ in range(CYCLES):
        answered_before = app.requests
        server = EmbeddedServer(app, threads=THREADS, distribute=distribute, access_log=False)
        server.start()
        load = stress(server)
        server.server.should_exit = True
        assert load.join() == app.requests - answered_before
        server.stop()
        assert app.up == app.down
        # The first round makes what is made once.
        before = before or Resources()
    assert app.up == THREADS * CYCLES
    assert before is not None
    Resources().check_no_more_than(before)


def test_no_start_and_stop_in_a_running_loop_leaves_anything(error_log: ErrorLog) -> None:
    app = Counting()

    async def one_round() -> None:
        tasks = asyncio.all_tasks()
        server = Server(Config(app, port=0, threads=2, access_log=False, log_config=None))
        serving = asyncio.create_task(server.serve())
        await asyncio.to_thread(wait_until, lambda: server.started or serving.done(), "the server to start")
        host, port = server.addresses[0]
        load = await asyncio.to_thread(stress, SimpleNamespace(host=host, port=port))
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        await asyncio.to_thread(load.join)
        assert asyncio.all_tasks() == tasks

    before: Resources | None = None
    for _ in range(4):
        asyncio.run(asyncio.wait_for(one_round(), 3 * DEADLINE))
        # The thread that ran the server is through with it a moment after the program knows.
        wait_until(lambda: not any("threadserve" in each.name for each in threading.enumerate()), "the threads to end")
        before = before or Resources()
    assert app.up == app.down == 2 * 4
    assert before is not None
    Resources().check_no_more_than(before)


def test_the_concurrency_limit_admits_as_many_as_it_says(serve: Serve, connect: Connect) -> None:
    gates = [Gate()]
    refused: list[bytes] = []

    def read(client: RawClient) -> None:
        response = client.read_response()
        if response.status == 503:
            refused.append(response.body)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gates[-1].wait()
        await respond(send, b"admitted")

    server = serve(app, threads=3, limit_concurrency=4, distribute="round-robin", lifespan="off")
    serving: Any = server.server._server_run
    for _ in range(3):
        # A client may have its answer before the request counts as ended.
        wait_until(lambda: serving._group._shared.limit._admitted == 0, "the answered requests to end")
        refused.clear()
        gate = gates[-1]
        clients = [connect(server) for _ in range(9)]
        for client in clients:
            client.send(request())
        readers = [threading.Thread(target=read, args=(client,)) for client in clients]
        for reader in readers:
            reader.start()
        gate.wait_for_arrivals(4)
        wait_until(lambda: len(refused) == 5, "five to be refused")
        assert gate.arrived == 4
        gates.append(Gate())
        gate.open()
        for reader in readers:
            reader.join(DEADLINE)
        assert len(refused) == 5
