"""The lifespan of an application on one loop (ASGI lifespan protocol 2.0).

Runs on the loop thread of the application. It owns one task, in which the application handles its lifespan from
start-up to shutdown, and the messages to and from it. It never decides what a failure means for the process.
"""

import asyncio
import logging
from typing import Literal

from threadserve.app.app_errors import format_error, is_coroutine_closing
from threadserve.app.hints import add_hint, find_hint, find_hint_in_text
from threadserve.errors import LifespanFailed
from threadserve.runtime.signals import is_signal_interrupt
from threadserve.types import ASGIApp, LifespanState, Message

logger = logging.getLogger("threadserve.error")

# The key of an `asyncio.Event` in the state of the lifespan and of each scope, set when the server begins to stop.
STOPPING_KEY = "threadserve_stopping"
TASK_END_SECONDS = 1.0
ANSWER_TYPES = (
    "lifespan.startup.complete",
    "lifespan.startup.failed",
    "lifespan.shutdown.complete",
    "lifespan.shutdown.failed",
)


class Lifespan:
    """Takes one application through start-up and shutdown. Owned by its loop's thread.

    `mode` is Uvicorn's: "on" requires the protocol, "auto" takes an exception during start-up as a sign that the
    application does not support it, "off" does nothing. `state` is filled by the application; each request on this loop
    sees it as `scope["state"]`. `quiet` logs the steps at the level debug, so that only one loop logs them; errors are
    always logged.
    """

    def __init__(
        self, app: ASGIApp, mode: Literal["auto", "on", "off"], state: LifespanState, *, quiet: bool = False
    ) -> None:
        self.state = state
        self._app = app
        self._mode = mode
        self._step_level = logging.DEBUG if quiet else logging.INFO
        self._task: asyncio.Task[None] | None = None
        self._outgoing: asyncio.Queue[Message] = asyncio.Queue()
        self._startup_done = asyncio.Event()
        self._shutdown_done = asyncio.Event()
        self._startup_failure: str | None = None
        self._is_shutdown_failed = False
        self._is_started = False
        self._has_raised = False
        self._is_last_message_sent = False
        self._is_abandoned = False

    async def startup(self) -> None:
        """Start the lifespan and wait, without a limit, until the application is ready or does without a lifespan.

        Raises `LifespanFailed` if start-up failed. On cancellation, the application's task is ended first.
        """
        if self._mode == "off":
            return
        self._log_step("Waiting for application startup.")
        self._outgoing.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.create_task(self._run(), name="lifespan")
        await self._wait_for(self._startup_done, self._task)
        if self._startup_failure is not None:
            logger.error("Application startup failed. Exiting.")
            await self._end_task(self._task, TASK_END_SECONDS)
            raise LifespanFailed(f"the application's startup failed: {self._startup_failure}")
        self._is_started = True
        self._log_step("Application startup complete.")

    async def shutdown(self, timeout: float | None = None) -> None:
        """Ask the application to shut down and wait for that, at most `timeout` seconds; failures are logged.

        Does nothing if the lifespan has not started or has raised. On a timeout or cancellation, the application's task
        is ended first.
        """
        if self._task is None or not self._is_started or self._has_raised:
            return
        self._log_step("Waiting for application shutdown.")
        self._outgoing.put_nowait({"type": "lifespan.shutdown"})
        if not await self._wait_for(self._shutdown_done, self._task, timeout):
            logger.error("Application shutdown did not end within %.3g seconds. Exiting.", timeout)
            # Without waiting: frameworks answer the cancellation with the traceback of where they were.
            await self._end_task(self._task, 0)
            return
        await self._end_task(self._task, TASK_END_SECONDS)
        if self._is_shutdown_failed:
            logger.error("Application shutdown failed. Exiting.")
        else:
            self._log_step("Application shutdown complete.")

    def abandon(self) -> None:
        """Cancel the application's task without a shutdown, for a loop that ends at once."""
        self._is_abandoned = True
        if self._task is not None:
            self._task.cancel()

    def _log_step(self, line: str) -> None:
        logger.log(self._step_level, line)

    async def _wait_for(self, answer: asyncio.Event, task: asyncio.Task[None], timeout: float | None = None) -> bool:
        """Return whether the answer has come in time."""
        try:
            async with asyncio.timeout(timeout):
                await answer.wait()
        except TimeoutError:
            return answer.is_set()
        except asyncio.CancelledError:
            await self._end_task(task, 0)
            raise
        return True

    async def _end_task(self, task: asyncio.Task[None], grace_seconds: float) -> None:
        """Wait `grace_seconds` for the task to end, then cancel it, and wait only `TASK_END_SECONDS` for that."""
        self._is_last_message_sent = True
        await asyncio.wait([task], timeout=grace_seconds)
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
            if is_coroutine_closing(error, self._task) or is_signal_interrupt(error):
                raise
            self._on_app_error(error)
        finally:
            self._startup_done.set()
            self._shutdown_done.set()

    def _on_app_error(self, error: BaseException) -> None:
        """Take note of an error of the application.

        After a message of failure it is not logged, because frameworks raise again what they reported.
        """
        if self._startup_failure is not None or self._is_shutdown_failed:
            return
        self._has_raised = True
        started = self._startup_done.is_set()
        if self._mode == "auto" and not started and find_hint(error) is None:
            self._log_step(
                f"ASGI 'lifespan' protocol appears unsupported. The application raised {format_error(error)}"
            )
            logger.debug("What it raised instead:", exc_info=error)
            return
        logger.error("Exception in 'lifespan' protocol", exc_info=add_hint(error))
        if started:
            self._is_shutdown_failed = True
        else:
            self._startup_failure = format_error(error)

    async def _receive(self) -> Message:
        """Return the next message. After the last one, cancel the task, which would wait forever."""
        if self._is_last_message_sent and self._task is not None:
            self._task.cancel()
        return await self._outgoing.get()

    async def _send(self, message: Message) -> None:
        """Take a message of the application. Raises RuntimeError if it is unknown or comes at the wrong time."""
        kind = message["type"]
        starting = not self._startup_done.is_set()
        if kind not in ANSWER_TYPES or self._shutdown_done.is_set() or starting != kind.startswith("lifespan.startup."):
            raise RuntimeError(f"Unexpected ASGI message {kind!r} in the lifespan protocol.")
        failed = kind.endswith(".failed")
        if failed:
            self._on_failed(message.get("message", ""), starting)
        self._is_last_message_sent = failed or not starting
        (self._startup_done if starting else self._shutdown_done).set()

    def _on_failed(self, text: str, starting: bool) -> None:
        if self._is_abandoned:
            # The message only reports the cancellation; an error of the application is raised as well.
            return
        if text:
            hint = find_hint_in_text(text)
            logger.error("%s%s", text, f"\n{hint}" if hint else "")
        if starting:
            self._startup_failure = (text.splitlines() or ["it gave no reason"])[-1]
        else:
            self._is_shutdown_failed = True
