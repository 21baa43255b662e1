"""A server on a loop that belongs to a program: the program's end is the server's, in order."""

import asyncio
import logging

import pytest
from support.apps import hello, respond
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, RawClient
from support.waiting import DEADLINE

from threadserve import Config, Server
from threadserve.types import Receive, Scope, Send


async def started(server: Server) -> None:
    """Returns once the server serves."""
    async with asyncio.timeout(DEADLINE):
        while not server.started:  # noqa: ASYNC110  the server has no event for other threads
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_program_that_ends_cancels_the_server(
    error_log: ErrorLog, caplog: pytest.LogCaptureFixture, threads: int
) -> None:
    ends: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            return await hello(scope, receive, send)
        await receive()
        await send({"type": "lifespan.startup.complete"})
        try:
            await receive()
        finally:
            ends.append("lifespan")
        return await send({"type": "lifespan.shutdown.complete"})

    async def program() -> "asyncio.Task[None]":
        server = Server(Config(app, port=0, threads=threads, log_config=None))
        task = asyncio.create_task(server.serve())
        await started(server)
        with RawClient(*server.addresses[0]).socket:
            return task

    with caplog.at_level(logging.INFO):
        task = asyncio.run(program())
    assert task.cancelled()
    assert ends == ["lifespan"] * threads
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("Waiting for application startup.") == 1
    assert sum(message.startswith("Finished server process") for message in messages) == 1


def test_an_application_that_cancels_every_task_stops_only_itself(
    serve: Serve, connect: Connect, error_log: ErrorLog
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/cancel":
            for task in asyncio.all_tasks():
                task.cancel()
            await asyncio.sleep(0)
        await respond(send, b"alive")

    server = serve(app, threads=1, lifespan="off")
    client = connect(server)
    assert client.get().body == b"alive"
    assert client.get("/cancel").status == 500
    error_log.expect(asyncio.CancelledError)
    assert connect(server).get().body == b"alive"
