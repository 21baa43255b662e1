"""One request and its response: the application's call.

Belongs to its connection, on the connection's loop thread. It owns the task that runs the application; it never parses
and never touches the transport.
"""

import asyncio
import logging
from typing import Any

from threadserve.http.app_call import AppCall
from threadserve.http.loop_state import LoopState
from threadserve.http.outlet import Outlet
from threadserve.http.peer import Peer, label_of
from threadserve.http.request_side import RequestSide
from threadserve.http.response_side import COMPLETE, HELD
from threadserve.http.rules import MessageRules
from threadserve.http.scope import target_of
from threadserve.interfaces.app_errors import comes_of_closing
from threadserve.logging.access_log import Entry

logger = logging.getLogger("threadserve.error")

# In the access log, the status of a request that got no response: its client had left, or the server was stopping.
NO_RESPONSE = 499


class Exchange(RequestSide, AppCall):
    """A request in flight, with both its sides."""

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
        except BaseException as error:
            if comes_of_closing(error, self.task):
                raise
            self._on_app_error(error)
        self._end()

    def access_entry(self, peer: Peer) -> Entry:
        """What the access log tells of this request, which came from `peer` or through it."""
        scope = self.scope
        label = peer.label if scope["client"] is peer.client else label_of(scope["client"])
        return label, scope["method"], target_of(scope), scope["http_version"], self.status

    def break_off(self) -> None:
        """The connection has ended before the response was complete: what the access log tells is what was sent."""
        if self.phase <= HELD or not self.status:
            self.status = NO_RESPONSE
            self._lines = []

    def _is_deaf(self) -> bool:
        """See `ResponseSide`. Who sends in a task of its own, and loses that, may wait for it for ever."""
        is_own_task = self.task is None or asyncio.current_task() is self.task
        return is_own_task and not (self._waiting or self._is_told)

    def _on_app_error(self, error: BaseException) -> None:
        self._report(error)
        self._fail()

    def _on_early_return(self) -> None:
        step = "completing" if self.phase >= HELD else "starting"
        logger.error("ASGI callable returned without %s response.", step)
        self._fail()

    def _fail(self) -> None:
        """Ends the exchange for the client: by a 500 while nothing has been written, else by the connection's end."""
        if self.is_cut_off:
            return
        if self.phase <= HELD:
            self.answer_error(b"Internal Server Error")
        elif self.phase < COMPLETE:
            self.outlet.close()
