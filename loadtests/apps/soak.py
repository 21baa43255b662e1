"""The site, with what a soak needs: `/die` ends the event loop that serves it, and `/kill` the process."""

import asyncio
import os
import signal
import sys
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
        # As a bug in a background task would, and not the request's own.
        asyncio.get_running_loop().call_soon(sys.exit, "made to die")
        await asyncio.Event().wait()
    await site.app(scope, receive, send)
