"""The site, with what a soak needs: `/die` ends the event loop that serves it, and `/kill` the process."""

import asyncio
import os
import signal
import time
from collections import deque

from loadtests.apps import site
from loadtests.apps.hello import Receive, Scope, Send

# A worker ends by itself when 5 of its threads have died within a minute; here are the last 4 deaths.
DEATHS_SECONDS = 60.0
deaths: deque[float] = deque([-DEATHS_SECONDS] * 4, maxlen=4)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 404 to `/die` where the worker would end for it."""
    if scope.get("path") == "/kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if scope.get("path") == "/die" and time.monotonic() - deaths[0] >= DEATHS_SECONDS:
        deaths.append(time.monotonic())
        await die()
    await site.app(scope, receive, send)


async def die() -> None:
    """End the loop by a task of its own, as a bug in a background task would; never return."""

    async def end() -> None:
        raise SystemExit("made to die")

    task = asyncio.create_task(end())
    # The exception is looked at, so that asyncio does not log it as one that nobody saw.
    task.add_done_callback(asyncio.Task.exception)
    await asyncio.Event().wait()
