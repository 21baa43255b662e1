"""The timeout of an ASGI application's calls: a call that takes too long is answered 504, cancelled, and logged.

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

# The calls are checked after a quarter of the timeout, within these bounds.
MAX_CHECK_SECONDS = 0.5
MIN_CHECK_SECONDS = 0.01
# A check that comes so many seconds late shows that the loop has been blocked.
LATE_CHECK_SECONDS = 0.1


class CallTimeouts:
    """Times out the calls of a loop that have gone on for `timeout` seconds since the heads of their requests came."""

    def __init__(self, context: LoopContext, timeout: float) -> None:
        self._loop = context.loop
        self._calls = context.registry.calls
        self._timeout = timeout
        self._check_at = 0.0
        self._skips_check = False

    def start(self) -> None:
        """Check the calls from now on, until the loop ends."""
        self._check_at = self._loop.time() + min(max(self._timeout / 4, MIN_CHECK_SECONDS), MAX_CHECK_SECONDS)
        self._loop.call_at(self._check_at, self._check)

    def _check(self) -> None:
        # The events that calls wait for may have come during a stall: calls get some turns before they time out.
        self._skips_check = not self._skips_check and self._loop.time() - self._check_at > LATE_CHECK_SECONDS
        self.start()
        if not self._skips_check:
            exchanges = [call for call in self._calls if isinstance(call, Exchange)]
            self._time_out([exchange for exchange in exchanges if self._is_overdue(exchange)])

    def _is_overdue(self, call: Exchange) -> bool:
        is_late = perf_counter() - call.started_at >= self._timeout
        return is_late and not call.is_cancelled and call.is_response_pending()

    def _time_out(self, overdue: list[Exchange]) -> None:
        for call in overdue:
            outcome, stack = describe_outcome(call), format_task_stack(call.task)
            call.time_out()
            logger.error(
                "An ASGI call has not come back for %s: %s. %s, and is cancelled %s",
                format_count(self._timeout, "second"), call.describe(), outcome, stack,
            )  # fmt: skip


def describe_outcome(call: Exchange) -> str:
    """Return the log's sentence about the response of a call that is timed out."""
    if call.can_still_answer():
        return "It is answered 504"
    return "Its client has gone" if call.is_over() else "It is broken off in its response"
