"""An application for a server process: what it does is steered by the requests' bodies and told on stdout.

It runs in the process that is tested. `STEERED_STARTUP` in its environment is how its start-up goes, `STEERED_SHUTDOWN`
how its shutdown does, and `STEERED_GRACE` how many seconds the server that stops gives idle clients, and loops that it
abandons, in place of one. With `STEERED_LIFESPAN_GRACE` that is the least that it gives the shutdown. `STEERED_BLOCK`
is what a thread that is blocked does.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from support.apps import body, read_body, respond, start
from support.waiting import DEADLINE, wait_until

from threadserve import Server
from threadserve.threads import loop_group, loop_server
from threadserve.types import Receive, Scope, Send

if "STEERED_GRACE" in os.environ:
    loop_group.TERMINATE_GRACE_SECONDS = float(os.environ["STEERED_GRACE"])
    Server.bounds = replace(Server.bounds, idle_grace_seconds=loop_group.TERMINATE_GRACE_SECONDS)
if "STEERED_LIFESPAN_GRACE" in os.environ:
    loop_server.MIN_LIFESPAN_GRACE_SECONDS = float(os.environ["STEERED_LIFESPAN_GRACE"])


def spin() -> None:
    """Keeps the thread at work."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass


BLOCKS: dict[str, Callable[[], object]] = {
    "sleep": lambda: time.sleep(60),
    "spin": spin,
    "wait": lambda: threading.Event().wait(60),
}
block_thread = BLOCKS[os.environ.get("STEERED_BLOCK", "sleep")]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Has a lifespan, and an answer for each of the paths below."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    else:
        await PATHS[scope["path"]](receive, send)


def tell(word: str) -> None:
    """Writes a line on stdout, in one piece whichever thread calls."""
    os.write(sys.stdout.fileno(), f"{word}\n".encode())


async def lifespan(receive: Receive, send: Send) -> None:
    """Starts up as the environment says, and tells about the steps."""
    await receive()
    try:
        await start_up(os.environ.get("STEERED_STARTUP", ""))
    except asyncio.CancelledError:
        tell("start-up cancelled")
        raise
    tell("up")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    try:
        await shut_down(os.environ.get("STEERED_SHUTDOWN", ""))
    except asyncio.CancelledError:
        tell("shutdown cancelled")
        raise
    tell("down")
    await send({"type": "lifespan.shutdown.complete"})


async def start_up(how: str) -> None:
    """Fails, hangs, blocks the thread, or waits until the file of that name exists."""
    if not how:
        return
    tell("starting")
    if how == "fail":
        raise ValueError("the database is away")
    if how == "block":
        block_thread()
    if how == "hang":
        await asyncio.Event().wait()
    await asyncio.to_thread(wait_until, Path(how).exists, "the file of the test", 2 * DEADLINE)


async def shut_down(how: str) -> None:
    """Hangs, blocks the thread, or leaves a thread behind that goes on."""
    if how:
        tell("shutting down")
    if how == "hang":
        await asyncio.Event().wait()
    if how == "block":
        block_thread()
    if how == "leave":
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)


async def hello(receive: Receive, send: Send) -> None:
    """Answers at once."""
    await respond(send, b"hello")


async def pid(receive: Receive, send: Send) -> None:
    """Answers with the id of the process."""
    await respond(send, str(os.getpid()).encode())


async def upload(receive: Receive, send: Send) -> None:
    """Answers with the body when that has come as a whole."""
    tell("reading")
    await respond(send, await read_body(receive))


async def stream(receive: Receive, send: Send) -> None:
    """Sends each part of the body back as it comes."""
    await start(send)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            tell("disconnected")
            return
        await body(send, message["body"], more=message["more_body"])
        if not message["more_body"]:
            return


async def stuck(receive: Receive, send: Send) -> None:
    """Takes no notice of the client's leaving, and ends only when it is cancelled."""
    tell("stuck")
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                tell("told")
                await asyncio.Event().wait()
    except asyncio.CancelledError:
        tell("cancelled")
        raise


async def block(receive: Receive, send: Send) -> None:
    """Keeps its thread."""
    tell("blocking")
    block_thread()


PATHS = {"/": hello, "/pid": pid, "/upload": upload, "/stream": stream, "/stuck": stuck, "/block": block}
