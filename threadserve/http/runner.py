"""Calls of an ASGI application.

A runner belongs to one loop and runs on its thread. It starts and ends calls, and owns none of them in between.
"""

from collections.abc import Callable
from typing import Protocol

from threadserve.app.app_errors import is_coroutine_closing
from threadserve.http.asgi_send import ASGISend
from threadserve.http.error_log import log_app_error
from threadserve.http.exchange import Exchange
from threadserve.http.registry import AppCall, ConnectionRegistry
from threadserve.http.tasks import StartTask
from threadserve.types import ASGIApp, Message, Send


class ASGICall(AppCall, Protocol):
    """A call of an ASGI application."""

    is_cancelled: bool

    async def receive(self) -> Message:
        """Return the next message for the application."""
        ...

    def on_return(self) -> None:
        """The application has returned."""
        ...

    def fail(self) -> None:
        """End the call of an application that has raised, which is in the log already."""
        ...


# Calls the application, with the `send` of the call.
StartCall = Callable[[ASGICall, Send], None]


class ASGIRunner:
    """Starts the calls of one loop. Belongs to the loop's thread."""

    __slots__ = ("_app", "_registry", "_start_task")

    def __init__(self, app: ASGIApp, registry: ConnectionRegistry, start_task: StartTask) -> None:
        self._app = app
        self._registry = registry
        self._start_task = start_task

    def start(self, exchange: Exchange) -> None:
        """Call the application for a request."""
        self.start_call(exchange, ASGISend(exchange))

    def start_call(self, call: ASGICall, send: Send) -> None:
        """Call the application in a task, at once where Python can, with a `send` of the call's own."""
        # Before it is called: it may block the loop, and others are to see where.
        self._registry.calls.add(call)
        task = self._start_task(self._run(call, send))
        if not task.done():
            call.task = task

    async def _run(self, call: ASGICall, send: Send) -> None:
        try:
            await self._app(call.scope, call.receive, send)
            call.on_return()
        except BaseException as error:
            if is_coroutine_closing(error, call.task):
                raise
            log_app_error(error, "ASGI", is_cancelled=call.is_cancelled)
            call.fail()
        self._registry.end_call(call)
