"""The lifespan of an application on one loop (ASGI lifespan protocol 2.0).

Runs on the loop thread of the application. It owns one task, in which the application handles its lifespan from
start-up to shutdown, and the messages to and from it. It never decides what a failure means for the process.
"""

import asyncio
import logging
from typing import Any, Literal

from threadserve.app.app_errors import format_error, is_coroutine_closing
from threadserve.app.hints import add_hint, find_hint, find_hint_in_text
from threadserve.errors import LifespanFailed
from threadserve.runtime.signals import comes_of_signal
from threadserve.types import ASGIApp, Message

logger = logging.getLogger("threadserve.error")

# By what name an application finds, in the state of its lifespan and of each scope, an `asyncio.Event` of its loop that
# is set when the server begins to stop.
STOPPING_KEY = "threadserve_stopping"
TASK_END_SECONDS = 1.0  # seconds
ANSWER_TYPES = (
    "lifespan.startup.complete",
    "lifespan.startup.failed",
    "lifespan.shutdown.complete",
    "lifespan.shutdown.failed",
)


class Lifespan:
    """Takes one application through start-up and shutdown.

    `mode` is Uvicorn's: "on" demands the protocol, "auto" takes an exception before the answer to start-up as a sign
    that the application does not know it, "off" does nothing. `state` is what the application fills and each request
    on this loop sees as `scope["state"]`. `quiet` logs the steps as debug messages, for all loops but one would only
    repeat them; errors are logged for each.
    """

    def __init__(
        self, app: ASGIApp, mode: Literal["auto", "on", "off"], state: dict[str, Any], *, quiet: bool = False
    ) -> None:
        self.state = state
        self._app = app
        self._mode = mode
        self._step_level = logging.DEBUG if quiet else logging.INFO
        self._task: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._startup_over = asyncio.Event()
        self._shutdown_over = asyncio.Event()
        self._startup_failure: str | None = None
        self._shutdown_failed = False
        self._started = False
        self._raised = False
        self._nothing_more = False
        self._is_abandoned = False

    async def startup(self) -> None:
        """Starts the lifespan and waits, as long as it takes, until the application is ready or does without.

        Raises `LifespanFailed` if it is not. If it is cancelled, the application's task is ended first.
        """
        if self._mode == "off":
            return
        self._log_step("Waiting for application startup.")
        self._messages.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.create_task(self._run(), name="lifespan")
        await self._wait_for(self._startup_over, self._task)
        if self._startup_failure is not None:
            logger.error("Application startup failed. Exiting.")
            await self._end(self._task, TASK_END_SECONDS)
            raise LifespanFailed(f"the application's startup failed: {self._startup_failure}")
        self._started = True
        self._log_step("Application startup complete.")

    async def shutdown(self, timeout: float | None = None) -> None:
        """Tells the application to shut down and waits until it has, `timeout` seconds at most; its failure is logged.

        Does nothing where the lifespan did not start or has raised. If that takes too long or is cancelled, the
        application's task is ended first.
        """
        if self._task is None or not self._started or self._raised:
            return
        self._log_step("Waiting for application shutdown.")
        self._messages.put_nowait({"type": "lifespan.shutdown"})
        if not await self._wait_for(self._shutdown_over, self._task, timeout):
            logger.error("Application shutdown did not end within %.3g seconds. Exiting.", timeout)
            # Frameworks answer with the place where it was.
            await self._end(self._task, 0)
            return
        await self._end(self._task, TASK_END_SECONDS)
        if self._shutdown_failed:
            logger.error("Application shutdown failed. Exiting.")
        else:
            self._log_step("Application shutdown complete.")

    def abandon(self) -> None:
        """Ends the application's task without a shutdown, where the loop is left at once."""
        self._is_abandoned = True
        if self._task is not None:
            self._task.cancel()

    def _log_step(self, line: str) -> None:
        logger.log(self._step_level, line)

    async def _wait_for(self, answer: asyncio.Event, task: asyncio.Task[None], timeout: float | None = None) -> bool:
        """Returns whether the answer has come in time."""
        try:
            async with asyncio.timeout(timeout):
                await answer.wait()
        except TimeoutError:
            return answer.is_set()
        except asyncio.CancelledError:
            await self._end(task, 0)
            raise
        return True

    async def _end(self, task: asyncio.Task[None], patience: float) -> None:
        """Lets the task run to its end for `patience` seconds, then cancels it, and does not wait for it forever."""
        self._nothing_more = True
        await asyncio.wait([task], timeout=patience)
        task.cancel()
        await asyncio.wait([task], timeout=TASK_END_SECONDS)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except asyncio.CancelledError as error:
            if self._task is not None and self._task.cancelling():
                self._startup_failure = self._startup_failure or "it was cancelled"
            else:
                self._on_app_error(error)
        except BaseException as error:
            if is_coroutine_closing(error, self._task) or comes_of_signal(error):
                raise
            self._on_app_error(error)
        finally:
            self._startup_over.set()
            self._shutdown_over.set()

    def _on_app_error(self, error: BaseException) -> None:
        """The application raised. After an answer of failure that is expected: frameworks raise what they reported."""
        if self._startup_failure is not None or self._shutdown_failed:
            return
        self._raised = True
        started = self._startup_over.is_set()
        if self._mode == "auto" and not started and find_hint(error) is None:
            self._log_step(
                f"ASGI 'lifespan' protocol appears unsupported. The application raised {format_error(error)}"
            )
            logger.debug("What it raised instead:", exc_info=error)
            return
        logger.error("Exception in 'lifespan' protocol", exc_info=add_hint(error))
        if started:
            self._shutdown_failed = True
        else:
            self._startup_failure = format_error(error)

    async def _receive(self) -> Message:
        """The next message. After the last one the task ends here, where the application would wait for ever."""
        if self._nothing_more and self._task is not None:
            self._task.cancel()
        return await self._messages.get()

    async def _send(self, message: Message) -> None:
        """Takes the application's answer; raises RuntimeError if there is no such answer or it is not its time."""
        kind = message["type"]
        starting = not self._startup_over.is_set()
        if kind not in ANSWER_TYPES or self._shutdown_over.is_set() or starting != kind.startswith("lifespan.startup."):
            raise RuntimeError(f"Unexpected ASGI message {kind!r} in the lifespan protocol.")
        failed = kind.endswith(".failed")
        if failed:
            self._on_failed(message.get("message", ""), starting)
        self._nothing_more = failed or not starting
        (self._startup_over if starting else self._shutdown_over).set()

    def _on_failed(self, text: str, starting: bool) -> None:
        if self._is_abandoned:
            # What it reports is that it was cancelled; an error of its own it raises as well.
            return
        if text:
            hint = find_hint_in_text(text)
            logger.error("%s%s", text, f"\n{hint}" if hint else "")
        if starting:
            self._startup_failure = (text.splitlines() or ["it gave no reason"])[-1]
        else:
            self._shutdown_failed = True
