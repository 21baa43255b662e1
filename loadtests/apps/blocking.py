"""`/block` holds its event loop for half a second, sleeping or computing; every other path answers at once."""

import time

from loadtests.apps import cpu_bound, hello
from loadtests.apps.hello import Receive, Scope, Send

BLOCKED_SECONDS = 0.5


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope.get("path") == "/block":
        time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251 - holding the loop is what this app is for
    await hello.app(scope, receive, send)


async def computing(scope: Scope, receive: Receive, send: Send) -> None:
    """Do the same with pure Python."""
    until = time.perf_counter() + BLOCKED_SECONDS
    while scope.get("path") == "/block" and time.perf_counter() < until:
        cpu_bound.work(cpu_bound.TURNS)
    await hello.app(scope, receive, send)
