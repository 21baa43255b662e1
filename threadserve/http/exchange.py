"""One request and its response: the application's call.

Belongs to its connection, on the connection's loop thread. It owns the task that runs the application; it never parses
and never touches the transport.
"""

import asyncio
import logging
from typing import Any

from threadserve.errors import ClientDisconnected
from threadserve.http.loop_state import LoopState
from threadserve.http.outlet import Outlet
from threadserve.http.request_side import RequestSide
from threadserve.http.response_side import COMPLETE, HELD
from threadserve.http.rules import MessageRules
from threadserve.interfaces.hints import hint_for

logger = logging.getLogger("threadserve.error")


class Exchange(RequestSide):
    """A request in flight, with both its sides."""

    task: asyncio.Task[None] | None = None
    is_cut_off = False

    def __init__(self, outlet: Outlet, state: LoopState, scope: dict[str, Any], rules: MessageRules) -> None:
        self.outlet = outlet
        self.state = state
        self.scope = scope
        self.keep_alive = rules.keep_alive
        if scope["method"] == "HEAD":
            self.is_head = True
        if not rules.is_plain:
            self.is_http11 = rules.is_http11
            if rules.has_body:
                self.expect_body(after_continue=rules.expects_continue)

    async def run(self) -> None:
        """Calls the application, and sees to what it leaves undone."""
        state = self.state
        try:
            await state.app(self.scope, self.receive, self.send)
            if self.phase < COMPLETE:
                self._on_early_return()
        except GeneratorExit:
            raise
        except BaseException as error:
            self._on_app_error(error)
        if self.task is not None:
            state.exchanges.discard(self)
        if state.limit is not None:
            state.limit.leave_threadsafe()
        if state.draining:
            state.check_drained()

    def cancel(self) -> None:
        """Cuts the application off."""
        self.is_cut_off = True
        if self.task is not None:
            self.task.cancel()

    def _on_app_error(self, error: BaseException) -> None:
        is_expected = isinstance(error, ClientDisconnected)
        if not is_expected and not (self.is_cut_off and isinstance(error, asyncio.CancelledError)):
            hint = hint_for(error)
            if hint is not None:
                error.add_note(hint)
            logger.error("Exception in ASGI application", exc_info=error)
        self._fail()

    def _on_early_return(self) -> None:
        step = "completing" if self.phase >= HELD else "starting"
        logger.error("ASGI callable returned without %s response.", step)
        self._fail()

    def _fail(self) -> None:
        """Ends the exchange for the client: by a 500 while nothing has been written, else by the connection's end."""
        if self.phase <= HELD:
            self.answer_error(b"Internal Server Error")
        elif self.phase < COMPLETE:
            self.outlet.close()
