"""What the applications' calls have in common, be they for a request or for a WebSocket.

Runs on the connection's loop thread. It owns the task that runs the application.
"""

import asyncio
import logging
from typing import Any

from threadserve.errors import ClientDisconnected
from threadserve.http.loop_state import LoopState
from threadserve.http.scope import target_of
from threadserve.interfaces.hints import with_hint

logger = logging.getLogger("threadserve.error")


class AppCall:
    """A call of the application, in flight from `begin` to the end of `run`. `task` is set once it has to wait."""

    state: LoopState
    scope: dict[str, Any]
    # By the loop's clock, once the call has to wait.
    began: float
    task: asyncio.Task[None] | None = None
    is_cut_off = False
    interface = "ASGI"

    async def run(self) -> None:
        """Calls the application, sees to what it leaves undone, and ends with `_end`."""
        raise NotImplementedError

    def begin(self) -> None:
        """Has the application called."""
        state = self.state
        state.starting = True
        task = state.start_task(self.run())
        state.starting = False
        if not task.done():
            self.task = task
            self.began = state.loop.time()
            state.exchanges.add(self)

    def _end(self) -> None:
        """The application is through with this call."""
        state = self.state
        if self.task is not None:
            state.exchanges.discard(self)
        if state.limit is not None:
            state.limit.leave_threadsafe()
        if state.draining:
            state.check_drained()

    def send_late_head(self) -> bool:
        """Sends the head of a response whose body is late; returns whether one is held."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Cuts the application off."""
        self.is_cut_off = True
        if self.task is not None:
            self.task.cancel()

    def described(self) -> str:
        """What the log calls it: by its method and target, and for how long it has gone on."""
        method = self.scope.get("method", "WebSocket")
        return f"{method} {target_of(self.scope)} ({self.state.loop.time() - self.began:.0f} s)"

    def _report(self, error: BaseException) -> None:
        """Logs what the application raised, unless that follows from the client's leaving or from `cancel`."""
        if self.is_cut_off and isinstance(error, asyncio.CancelledError):
            return
        if comes_of_leaving(error):
            logger.debug("The client of the %s application has gone: %r", self.interface, error)
            return
        logger.error("Exception in %s application", self.interface, exc_info=with_hint(error))


def comes_of_leaving(error: BaseException | None, seen: frozenset[int] = frozenset()) -> bool:
    """Whether an exception is `ClientDisconnected`, or was raised from one or beside it, or is a group of only such.

    `seen` are those that led here: one that was taken out of a group and raised again has that group as its context.
    """
    while error is not None and id(error) not in seen:
        if isinstance(error, ClientDisconnected):
            return True
        seen |= {id(error)}
        if isinstance(error, BaseExceptionGroup) and all(comes_of_leaving(each, seen) for each in error.exceptions):
            return True
        error = error.__cause__ or error.__context__
    return False
