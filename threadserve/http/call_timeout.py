"""Calls of an ASGI application that do not come back in time: they are answered 504, cancelled, and told of in the log.

Belongs to its loop, and runs on its thread. It owns a timer; requests cost it nothing, and WebSockets are not its
concern.
"""

import logging
from time import perf_counter

from threadserve.http.context import LoopContext
from threadserve.http.exchange import Exchange
from threadserve.http.task_stack import format_task_stack
from threadserve.logging.wording import format_count

logger = logging.getLogger("threadserve.error")

# For no more than so many seconds a call goes unnoticed that has taken too long.
LONGEST_LOOK = 0.5
SHORTEST_LOOK = 0.01
# A loop that is so many seconds late has been blocked.
STALL = 0.1


class CallTimeouts:
    """Looks for the calls of a loop that have gone on for `timeout` seconds, since the heads of their requests came."""

    def __init__(self, context: LoopContext, timeout: float) -> None:
        self._loop = context.loop
        self._calls = context.registry.calls
        self._timeout = timeout
        self._due = 0.0
        self._is_excused = False

    def start(self) -> None:
        """Looks at them from now on, until the loop ends."""
        self._due = self._loop.time() + min(max(self._timeout / 4, SHORTEST_LOOK), LONGEST_LOOK)
        self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        # What calls wait for may have come during a stall: they get some turns before they are given up.
        self._is_excused = not self._is_excused and self._loop.time() - self._due > STALL
        self.start()
        if not self._is_excused:
            self._give_up([call for call in self._calls if self._is_overdue(call)])

    def _is_overdue(self, call: object) -> bool:
        if not isinstance(call, Exchange) or call.is_cancelled or not call.is_response_pending():
            return False
        return perf_counter() - call.started_at >= self._timeout

    def _give_up(self, overdue: list[Exchange]) -> None:
        for call in overdue:
            outcome, stack = outcome_of(call), format_task_stack(call.task)
            call.time_out()
            logger.error(
                "An ASGI call has not come back for %s: %s. %s, and is cancelled %s",
                format_count(self._timeout, "second"), call.describe(), outcome, stack,
            )  # fmt: skip


def outcome_of(call: Exchange) -> str:
    """What becomes of a call that is given up."""
    if call.can_still_answer():
        return "It is answered 504"
    return "Its client has gone" if call.is_over() else "It is broken off in its response"
