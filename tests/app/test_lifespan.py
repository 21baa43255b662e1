"""The lifespan protocol: what the application sees, what is logged, and that nothing it does makes the server hang."""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any

import pytest
from support.waiting import DEADLINE

from threadserve.app.hints import OTHER_LOOP_HINT
from threadserve.app.lifespan import Lifespan
from threadserve.errors import StartupFailed

WAITING_STARTUP = "Waiting for application startup."
STARTED = "Application startup complete."
STARTUP_FAILED = "Application startup failed. Exiting."
UNSUPPORTED = "ASGI 'lifespan' protocol appears unsupported."
EXCEPTION = "Exception in 'lifespan' protocol"
WAITING_SHUTDOWN = "Waiting for application shutdown."
STOPPED = "Application shutdown complete."
SHUTDOWN_FAILED = "Application shutdown failed. Exiting."

UP = {"type": "lifespan.startup.complete"}
DOWN = {"type": "lifespan.shutdown.complete"}
EXITS = [SystemExit(1), KeyboardInterrupt("odd"), GeneratorExit("odd")]
OTHER_LOOP = "<asyncio.locks.Lock object> is bound to a different event loop"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged, from info on."""
    caplog.set_level(logging.INFO, "threadserve.error")
    return caplog


def run(script: Awaitable[None]) -> None:
    """Runs a test's coroutine, with a deadline, and checks that it leaves no task behind."""

    async def main() -> None:
        async with asyncio.timeout(DEADLINE):
            await script
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    asyncio.run(main())


def app_of(*steps: Any) -> Any:
    """An application that goes through these: sends a message, raises an exception, receives for `...`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for step in steps:
            if step is ...:
                await receive()
            elif isinstance(step, BaseException):
                raise step
            elif isinstance(step, dict):
                await send(step)
            else:
                await step

    return app


async def up_and_down(lifespan: Lifespan) -> None:
    """The whole life of an application."""
    await lifespan.startup()
    await lifespan.shutdown()


async def fail_to_start(lifespan: Lifespan) -> str:
    """The line of the error with which the start-up fails; a shutdown after that does nothing."""
    with pytest.raises(StartupFailed) as caught:
        await lifespan.startup()
    await lifespan.shutdown()
    return str(caught.value)


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_start_and_stop(mode: Any, log: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope))
        seen.append(await receive())
        scope["state"]["pool"] = "a pool"
        await send(UP)
        seen.append(await receive())
        await send(DOWN)

    async def script() -> None:
        lifespan = Lifespan(app, mode, state)
        await lifespan.startup()
        assert lifespan.state is state
        assert state == {"pool": "a pool"}
        assert len(seen) == 2
        await lifespan.shutdown()

    state: dict[str, Any] = {}
    run(script())
    assert seen == [
        {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state},
        {"type": "lifespan.startup"},
        {"type": "lifespan.shutdown"},
    ]
    assert log.messages == [WAITING_STARTUP, STARTED, WAITING_SHUTDOWN, STOPPED]
    assert {record.levelname for record in log.records} == {"INFO"}


def test_off(log: pytest.LogCaptureFixture) -> None:
    run(up_and_down(Lifespan(app_of(AssertionError("called")), "off", {})))
    assert log.messages == []


def test_quiet(log: pytest.LogCaptureFixture) -> None:
    run(up_and_down(Lifespan(app_of(..., UP, ..., DOWN), "on", {}, quiet=True)))
    run(up_and_down(Lifespan(app_of(ValueError("no lifespan")), "auto", {}, quiet=True)))
    assert log.messages == []
    run(fail_to_start_quietly())
    assert log.messages == [EXCEPTION, STARTUP_FAILED]


async def fail_to_start_quietly() -> None:
    """Errors are logged whether quiet or not."""
    await fail_to_start(Lifespan(app_of(ValueError("broken")), "on", {}, quiet=True))


def test_one_task_with_one_context(log: pytest.LogCaptureFixture) -> None:
    variable = contextvars.ContextVar("variable", default="")
    tasks = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        variable.set("set at startup")
        tasks.append(asyncio.current_task())
        await send(UP)
        await receive()
        tasks.append(asyncio.current_task())
        assert variable.get() == "set at startup"
        await send(DOWN)

    async def script() -> None:
        lifespan = Lifespan(app, "on", {})
        await lifespan.startup()
        assert variable.get() == ""
        await lifespan.shutdown()
        assert tasks == [tasks[0]] * 2
        assert tasks[0] is not asyncio.current_task()

    run(script())


class TestUnsupported:
    """Applications without the protocol."""

    @pytest.mark.parametrize("error", [AssertionError("http only"), *EXITS, BaseException("odd")], ids=repr)
    def test_auto_goes_on(self, error: BaseException, log: pytest.LogCaptureFixture) -> None:
        run(up_and_down(Lifespan(app_of(error), "auto", {})))
        assert [message.startswith(UNSUPPORTED) for message in log.messages] == [False, True, False]
        assert f"The application raised {type(error).__name__}" in log.messages[1]

    def test_auto_goes_on_after_receive(self, log: pytest.LogCaptureFixture) -> None:
        run(up_and_down(Lifespan(app_of(..., KeyError("path")), "auto", {})))
        assert log.messages == [WAITING_STARTUP, f"{UNSUPPORTED} The application raised KeyError: 'path'", STARTED]

    @pytest.mark.parametrize("mode", ["auto", "on"])
    def test_return_without_an_answer_is_no_failure(self, mode: Any, log: pytest.LogCaptureFixture) -> None:
        run(up_and_down(Lifespan(app_of(), mode, {})))
        assert log.messages == [WAITING_STARTUP, STARTED, WAITING_SHUTDOWN, STOPPED]

    def test_auto_does_not_take_an_object_of_another_loop_for_it(self, log: pytest.LogCaptureFixture) -> None:
        async def script() -> None:
            line = await fail_to_start(Lifespan(app_of(..., RuntimeError(OTHER_LOOP)), "auto", {}))
            assert line == f"the application's startup failed: RuntimeError: {OTHER_LOOP}"

        run(script())
        assert log.messages == [WAITING_STARTUP, EXCEPTION, STARTUP_FAILED]
        assert logging.Formatter().format(log.records[1]).endswith(f"\n{OTHER_LOOP_HINT}")


class TestFailedStartup:
    """Start-ups that end the server."""

    def test_exception_when_on(self, log: pytest.LogCaptureFixture) -> None:
        error = ValueError("no database\nat all")

        async def script() -> None:
            line = await fail_to_start(Lifespan(app_of(..., error), "on", {}))
            assert line == "the application's startup failed: ValueError: no database"

        run(script())
        assert log.messages == [WAITING_STARTUP, EXCEPTION, STARTUP_FAILED]
        assert log.records[1].exc_info is not None
        assert log.records[1].exc_info[1] is error

    @pytest.mark.parametrize("error", [*EXITS, BaseExceptionGroup("both", [SystemExit(1)])], ids=repr)
    def test_exit_when_on(self, error: BaseException, log: pytest.LogCaptureFixture) -> None:
        async def script() -> None:
            assert type(error).__name__ in await fail_to_start(Lifespan(app_of(error), "on", {}))

        run(script())
        assert log.messages == [WAITING_STARTUP, EXCEPTION, STARTUP_FAILED]

    def test_application_that_cancels_itself(self, log: pytest.LogCaptureFixture) -> None:
        async def script() -> None:
            await fail_to_start(Lifespan(app_of(asyncio.CancelledError()), "on", {}))

        run(script())
        assert log.messages == [WAITING_STARTUP, EXCEPTION, STARTUP_FAILED]

    @pytest.mark.parametrize("mode", ["auto", "on"])
    def test_answer_of_failure(self, mode: Any, log: pytest.LogCaptureFixture) -> None:
        answer = {"type": "lifespan.startup.failed", "message": "Traceback:\n  somewhere\nValueError: no database"}

        async def script() -> None:
            line = await fail_to_start(Lifespan(app_of(..., answer, ValueError("raised again")), mode, {}))
            assert line == "the application's startup failed: ValueError: no database"

        run(script())
        assert log.messages == [WAITING_STARTUP, answer["message"], STARTUP_FAILED]
        assert [record.levelname for record in log.records] == ["INFO", "ERROR", "ERROR"]

    def test_answer_of_failure_without_a_message(self, log: pytest.LogCaptureFixture) -> None:
        async def script() -> None:
            await fail_to_start(Lifespan(app_of(..., {"type": "lifespan.startup.failed"}), "auto", {}))

        run(script())
        assert log.messages == [WAITING_STARTUP, STARTUP_FAILED]

    def test_answer_that_tells_of_another_loop(self, log: pytest.LogCaptureFixture) -> None:
        answer = {"type": "lifespan.startup.failed", "message": OTHER_LOOP}

        async def script() -> None:
            await fail_to_start(Lifespan(app_of(..., answer), "auto", {}))

        run(script())
        assert log.messages[1] == f"{OTHER_LOOP}\n{OTHER_LOOP_HINT}"

    def test_application_that_waits_after_its_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("threadserve.app.lifespan.TASK_END_SECONDS", 2 * DEADLINE)

        async def script() -> None:
            await fail_to_start(Lifespan(app_of(..., {"type": "lifespan.startup.failed"}, ...), "auto", {}))

        run(script())

    def test_framework(self, log: pytest.LogCaptureFixture) -> None:
        from contextlib import asynccontextmanager

        from starlette.applications import Starlette

        @asynccontextmanager
        async def broken(app: Starlette) -> Any:
            raise ValueError("no database")
            yield

        async def script() -> None:
            line = await fail_to_start(Lifespan(Starlette(lifespan=broken), "auto", {}))
            assert line == "the application's startup failed: ValueError: no database"

        run(script())
        assert log.messages[0] == WAITING_STARTUP
        assert log.messages[1].startswith("Traceback (most recent call last):")
        assert log.messages[2:] == [STARTUP_FAILED]


class TestBetween:
    """Applications whose lifespan ends while the server serves."""

    @pytest.mark.parametrize("mode", ["auto", "on"])
    def test_exception(self, mode: Any, log: pytest.LogCaptureFixture) -> None:
        run(up_and_down(Lifespan(app_of(..., UP, ValueError("too early")), mode, {})))
        assert sorted(log.messages) == sorted([WAITING_STARTUP, STARTED, EXCEPTION])

    def test_return(self, log: pytest.LogCaptureFixture) -> None:
        run(up_and_down(Lifespan(app_of(..., UP), "on", {})))
        assert log.messages == [WAITING_STARTUP, STARTED, WAITING_SHUTDOWN, STOPPED]

    def test_loop_that_ends_without_a_shutdown(self, log: pytest.LogCaptureFixture) -> None:
        asyncio.run(Lifespan(app_of(..., UP, ...), "on", {}).startup())
        assert log.messages == [WAITING_STARTUP, STARTED]

    def test_coroutine_that_is_closed(self, log: pytest.LogCaptureFixture) -> None:
        tasks: list[Any] = []

        async def note() -> None:
            tasks.append(asyncio.current_task())
            tasks[0]._log_destroy_pending = False

        async def close() -> None:
            tasks[0].get_coro().close()

        loop = asyncio.new_event_loop()
        loop.run_until_complete(Lifespan(app_of(note(), ..., UP, ...), "on", {}).startup())
        loop.run_until_complete(close())
        loop.close()
        assert log.messages == [WAITING_STARTUP, STARTED]


class TestFailedShutdown:
    """Shutdowns that do not go well, which never keeps the server from ending."""

    @pytest.mark.parametrize("error", [ValueError("stuck"), *EXITS], ids=repr)
    @pytest.mark.parametrize("mode", ["auto", "on"])
    def test_exception(self, mode: Any, error: BaseException, log: pytest.LogCaptureFixture) -> None:
        run(up_and_down(Lifespan(app_of(..., UP, ..., error), mode, {})))
        assert log.messages == [WAITING_STARTUP, STARTED, WAITING_SHUTDOWN, EXCEPTION, SHUTDOWN_FAILED]

    def test_answer_of_failure(self, log: pytest.LogCaptureFixture) -> None:
        answer = {"type": "lifespan.shutdown.failed", "message": "a pool is stuck"}
        run(up_and_down(Lifespan(app_of(..., UP, ..., answer, ValueError("raised again")), "auto", {})))
        assert log.messages[2:] == [WAITING_SHUTDOWN, "a pool is stuck", SHUTDOWN_FAILED]

    def test_return_without_an_answer(self, log: pytest.LogCaptureFixture) -> None:
        run(up_and_down(Lifespan(app_of(..., UP, ...), "on", {})))
        assert log.messages[2:] == [WAITING_SHUTDOWN, STOPPED]

    def test_application_that_asks_for_more(
        self, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("threadserve.app.lifespan.TASK_END_SECONDS", 2 * DEADLINE)
        run(up_and_down(Lifespan(app_of(..., UP, ..., DOWN, ..., ...), "on", {})))
        assert log.messages[2:] == [WAITING_SHUTDOWN, STOPPED]

    def test_work_after_the_answer_is_finished(self) -> None:
        done = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await app_of(..., UP, ..., DOWN)(scope, receive, send)
            await asyncio.sleep(0.01)
            done.append(True)

        run(up_and_down(Lifespan(app, "on", {})))
        assert done == [True]

    def test_endless_work_after_the_answer(
        self, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("threadserve.app.lifespan.TASK_END_SECONDS", 0.01)
        run(up_and_down(Lifespan(app_of(..., UP, ..., DOWN, asyncio.Event().wait()), "on", {})))
        assert log.messages[2:] == [WAITING_SHUTDOWN, STOPPED]

    def test_shutdown_that_does_not_end(self, log: pytest.LogCaptureFixture) -> None:
        async def script() -> None:
            lifespan = Lifespan(app_of(..., UP, ..., asyncio.Event().wait(), DOWN), "on", {})
            await lifespan.startup()
            await lifespan.shutdown(0.01)

        run(script())
        assert log.messages[2:] == [
            WAITING_SHUTDOWN,
            "Application shutdown did not end within 0.01 seconds. Exiting.",
        ]

    def test_framework_whose_shutdown_does_not_end(self, log: pytest.LogCaptureFixture) -> None:
        from contextlib import asynccontextmanager

        from starlette.applications import Starlette

        @asynccontextmanager
        async def hanging(app: Starlette) -> Any:
            yield
            await asyncio.Event().wait()

        async def script() -> None:
            lifespan = Lifespan(Starlette(lifespan=hanging), "on", {})
            await lifespan.startup()
            await lifespan.shutdown(0.01)

        run(script())
        assert log.messages[3] == "Application shutdown did not end within 0.01 seconds. Exiting."
        # The answer to being cancelled says where it was.
        assert "in hanging" in log.messages[4]
        assert log.messages[5:] == []

    def test_framework(self, log: pytest.LogCaptureFixture) -> None:
        from contextlib import asynccontextmanager

        from starlette.applications import Starlette

        @asynccontextmanager
        async def broken(app: Starlette) -> Any:
            yield {"pool": "a pool"}
            raise ValueError("stuck")

        state: dict[str, Any] = {}
        run(up_and_down(Lifespan(Starlette(lifespan=broken), "auto", state)))
        assert state == {"pool": "a pool"}
        assert log.messages[:3] == [WAITING_STARTUP, STARTED, WAITING_SHUTDOWN]
        assert log.messages[3].rstrip().endswith("ValueError: stuck")
        assert log.messages[4:] == [SHUTDOWN_FAILED]


async def cancel(call: Coroutine[Any, Any, None], reached: asyncio.Event) -> None:
    """Cancels a call when the application has got so far, and waits for its end."""
    task = asyncio.create_task(call)
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class TestCancelled:
    """The server stops waiting: a stop during start-up, a second signal during shutdown."""

    def test_startup(self, log: pytest.LogCaptureFixture) -> None:
        reached = asyncio.Event()
        cleaned_up = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            reached.set()
            try:
                await asyncio.Event().wait()
            finally:
                cleaned_up.append(True)

        async def script() -> None:
            lifespan = Lifespan(app, "auto", {})
            await cancel(lifespan.startup(), reached)
            assert cleaned_up == [True]
            await lifespan.shutdown()

        run(script())
        assert log.messages == [WAITING_STARTUP]

    def test_startup_that_will_not_be_cancelled(
        self, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("threadserve.app.lifespan.TASK_END_SECONDS", 0.01)
        reached, release = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            reached.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await release.wait()

        async def script() -> None:
            lifespan = Lifespan(app, "auto", {})
            await cancel(lifespan.startup(), reached)
            await lifespan.shutdown()
            release.set()
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

        run(script())
        assert log.messages == [WAITING_STARTUP]

    def test_shutdown(self, log: pytest.LogCaptureFixture) -> None:
        reached = asyncio.Event()

        async def script() -> None:
            lifespan = Lifespan(app_of(..., UP, ..., notify(), asyncio.Event().wait()), "on", {})
            await lifespan.startup()
            await cancel(lifespan.shutdown(), reached)

        async def notify() -> None:
            reached.set()

        run(script())
        assert log.messages == [WAITING_STARTUP, STARTED, WAITING_SHUTDOWN]


@pytest.mark.parametrize(
    "answers",
    [
        [{"type": "http.response.start"}],
        [{"type": "lifespan.startup"}],
        [DOWN],
        [UP, UP],
        [UP, DOWN, DOWN],
        [UP, {"type": "lifespan.startup.failed"}],
    ],
    ids=str,
)
def test_answer_that_is_none(answers: list[Any], log: pytest.LogCaptureFixture) -> None:
    raised = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        *good, bad = answers
        for answer in good:
            await send(answer)
        with pytest.raises(RuntimeError) as caught:
            await send(bad)
        raised.append(str(caught.value))

    run(up_and_down(Lifespan(app, "on", {})))
    assert raised == [f"Unexpected ASGI message {answers[-1]['type']!r} in the lifespan protocol."]


@pytest.mark.parametrize(("error", "logged"), [(None, []), (ValueError("broken"), [EXCEPTION])])
def test_an_abandoned_application_reports_that_it_was_cancelled(
    error: Exception | None, logged: list[str], log: pytest.LogCaptureFixture
) -> None:
    """As Starlette does: it answers with the traceback, and raises the exception. Only its own error is of interest."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(UP)
        try:
            await receive()
        except asyncio.CancelledError as cancelled:
            await send({"type": "lifespan.shutdown.failed", "message": "Traceback ... CancelledError"})
            raise error or cancelled from None

    async def script() -> None:
        lifespan = Lifespan(app, "on", {})
        await lifespan.startup()
        lifespan.abandon()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})

    run(script())
    assert log.messages == [WAITING_STARTUP, STARTED, *logged]
