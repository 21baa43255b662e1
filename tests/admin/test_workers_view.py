"""How a supervisor asks its workers: several times at once, those that take long, and those that leave.

The workers are threads of this process, with the connection and the answers of real ones.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from socket import socketpair

import pytest
from support.waiting import DEADLINE

from threadserve.admin import workers
from threadserve.admin.process import ProcessView
from threadserve.admin.reporter import StateReporter
from threadserve.admin.workers import MAX_UNANSWERED, WorkersView
from threadserve.metrics.states import Detail, ProcessState, ServerPhase
from threadserve.runtime.loops import find_loop_factory

PID = 4711
HEALTH, NUMBERS = Detail.HEALTH, Detail.NUMBERS

Story = Callable[["Worker", WorkersView], Awaitable[None]]


class Worker(ProcessView):
    """A worker that answers as long as it `may_answer`. What it tells as `idle` is how often it was asked."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked = 0
        self.connection, its = socketpair()
        self._reporter = StateReporter(its, self)
        self._reporter.start()

    def read_state_threadsafe(self, detail: Detail) -> ProcessState:
        self.asked += 1
        asked = self.asked
        self.may_answer.wait(DEADLINE)
        return ProcessState(PID, ServerPhase.SERVING, 0.0, 1.0, (), idle_connections=asked)

    def leave(self) -> None:
        """Ends the connection, as a worker does that has served its last."""
        self.may_answer.set()
        with suppress(OSError):
            self._reporter.stop()


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker, which leaves in the end."""
    worker = Worker()
    yield worker
    worker.leave()


def be_patient(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Has workers take so long to answer, whatever they are asked."""
    monkeypatch.setattr(workers, "ANSWER_TIMEOUT_SECONDS", dict.fromkeys(Detail, seconds))


def run(loop: str, story: Story, worker: Worker) -> None:
    """Runs a story of a worker and those who look at it, to its end."""

    async def main() -> None:
        view = WorkersView()
        view.add_worker(PID, worker.connection)
        try:
            await asyncio.wait_for(story(worker, view), DEADLINE)
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            view.close()
            # Nothing is left that reads.
            await asyncio.wait_for(asyncio.gather(*others), DEADLINE)
            assert worker.connection.fileno() == -1

    with asyncio.Runner(loop_factory=find_loop_factory(loop)) as runner:
        runner.run(main())


async def seen(view: WorkersView, detail: Detail = HEALTH) -> tuple[list[int], tuple[int, ...]]:
    """What the workers tell as `idle`, and those that are silent."""
    overview = await view.read_state(detail)
    return [process.idle_connections for process in overview.processes], overview.unresponsive


def test_several_ask_a_new_worker_at_the_same_time(loop: str, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch, DEADLINE)

    async def story(worker: Worker, view: WorkersView) -> None:
        for _ in range(2):
            answers = await asyncio.gather(*(seen(view, detail) for detail in (HEALTH, NUMBERS, HEALTH, NUMBERS)))
            assert [silent for _, silent in answers] == [()] * 4
            assert sorted(idle for [idle], _ in answers)[-1] == worker.asked
        assert worker.asked == 8

    run(loop, story, worker)


def test_who_waits_no_longer_leaves_the_connection_to_the_others(
    loop: str, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient(monkeypatch, 0)

    async def story(worker: Worker, view: WorkersView) -> None:
        worker.may_answer.clear()
        first, second = await asyncio.gather(seen(view), seen(view))
        assert first == second == ([], (PID,))
        worker.may_answer.set()
        be_patient(monkeypatch, DEADLINE)
        assert (await seen(view))[1] == ()

    run(loop, story, worker)


def test_a_worker_that_takes_long_is_remembered_and_not_asked_for_ever(
    loop: str, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(worker: Worker, view: WorkersView) -> None:
        be_patient(monkeypatch, DEADLINE)
        assert await seen(view, NUMBERS) == ([1], ())
        worker.may_answer.clear()
        be_patient(monkeypatch, 0.01)
        for _ in range(3 * MAX_UNANSWERED):
            assert await seen(view) == ([1], ())
        # Who has told of less has not told of that.
        assert await seen(view, Detail.CALLS) == ([], (PID,))
        monkeypatch.setattr(workers, "STATE_MAX_AGE_SECONDS", 0.0)
        assert await seen(view) == ([], (PID,))
        worker.may_answer.set()
        be_patient(monkeypatch, DEADLINE)
        while (await seen(view))[0] != [worker.asked]:  # noqa: ASYNC110 (when it has answered all, nobody tells)
            await asyncio.sleep(0.002)
        # The first question, as many as may wait for answers, and the last.
        assert worker.asked == 2 + MAX_UNANSWERED

    run(loop, story, worker)


@pytest.mark.parametrize("is_waited_for", [False, True])
def test_a_worker_that_has_left_is_neither_remembered_nor_silent(
    loop: str, worker: Worker, monkeypatch: pytest.MonkeyPatch, is_waited_for: bool
) -> None:
    be_patient(monkeypatch, DEADLINE)

    async def story(worker: Worker, view: WorkersView) -> None:
        assert await seen(view) == ([1], ())
        looking = asyncio.ensure_future(seen(view)) if is_waited_for else None
        await asyncio.to_thread(worker.leave)
        if looking is not None:
            assert await looking in (([], ()), ([2], ()))
        assert await seen(view) == ([], ())
        assert await seen(view) == ([], ())

    run(loop, story, worker)


def test_a_worker_that_has_ended_is_forgotten_while_it_is_asked(
    loop: str, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient(monkeypatch, DEADLINE)

    async def story(worker: Worker, view: WorkersView) -> None:
        worker.may_answer.clear()
        looking = [asyncio.ensure_future(seen(view)) for _ in range(3)]
        # One is about to open the connection, and the others wait for that.
        await asyncio.sleep(0)
        view.remove_worker(PID)
        assert await asyncio.gather(*looking) == [([], ())] * 3
        view.remove_worker(PID)
        assert await seen(view) == ([], ())

    run(loop, story, worker)
