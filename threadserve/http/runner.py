"""Calling an ASGI application.

A runner belongs to one loop, and runs on its thread. It owns no call beyond its start and its end.
"""

import asyncio
import contextvars
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from threadserve.app.app_errors import is_coroutine_closing
from threadserve.http.error_log import log_app_error
from threadserve.http.registry import ConnectionRegistry
from threadserve.types import ASGIApp, Message, Send

StartTask = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class AppCall(Protocol):
    """One call of the application, be it for a request or for a WebSocket. `task` is set once it has to wait."""

    scope: dict[str, Any]
    task: "asyncio.Task[None] | None"
    is_cancelled: bool

    async def receive(self) -> Message:
        """What the application gets as its `receive`."""
        ...

    @property
    def send(self) -> Send:
        """What the application gets as its `send`."""
        ...

    def on_return(self) -> None:
        """The application has returned."""
        ...

    def fail(self) -> None:
        """The application has raised, which the log knows."""
        ...


class ASGIRunner:
    """Starts the calls of one loop."""

    __slots__ = ("_app", "_registry", "_start_task")

    def __init__(self, app: ASGIApp, registry: ConnectionRegistry, start_task: StartTask) -> None:
        self._app = app
        self._registry = registry
        self._start_task = start_task

    def start(self, call: AppCall) -> None:
        """Has the application called, at once where Python can."""
        # Before it is called: it may block the loop, and others are to see where.
        self._registry.calls.add(call)
        task = self._start_task(self._run(call))
        if not task.done():
            call.task = task

    async def _run(self, call: AppCall) -> None:
        try:
            await self._app(call.scope, call.receive, call.send)
            call.on_return()
        except BaseException as error:
            if is_coroutine_closing(error, call.task):
                raise
            log_app_error(error, "ASGI", is_cancelled=call.is_cancelled)
            call.fail()
        self._registry.end(call)


def make_task_starter(loop: asyncio.AbstractEventLoop, make_context: Callable[[], contextvars.Context]) -> StartTask:
    """How a request's task is started: at once where Python can (3.12), which saves a turn of the loop.

    Each has a context of its own. The current one would not do: it is that of an earlier request of the connection
    where that request's application was the one to have more read.
    """

    def start_in_next_turn(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return loop.create_task(work, context=make_context())

    if sys.version_info < (3, 12):
        return start_in_next_turn
    make_task = asyncio.Task

    def start_at_once(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return make_task(work, loop=loop, eager_start=True, context=make_context())

    return start_at_once
