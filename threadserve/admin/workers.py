"""The state of a server of several processes, as read by the supervisor's admin thread.

Runs on the admin thread, which owns the connections to the workers. The supervisor's thread posts there which workers
have started and ended, and its own state.
"""

import asyncio
import pickle
import time
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from operator import itemgetter
from socket import SHUT_RDWR, socket

from threadserve.admin.problems import ProblemHandler
from threadserve.admin.reporter import ANSWER_HEAD, QUESTION
from threadserve.admin.server import AdminServer
from threadserve.listening.tcp import Listeners
from threadserve.metrics.states import Detail, ProcessState, ServerPhase, ServerState

# The time that all workers together have to answer. A probe must have its answer within twice the first one; reading
# counters takes longer in busy workers, and reading their running calls takes longest.
ANSWER_TIMEOUT_SECONDS = {Detail.HEALTH: 0.025, Detail.NUMBERS: 0.25, Detail.CALLS: 3.0}
# The last answer of a worker that does not answer in time is used for this long.
STATE_MAX_AGE_SECONDS = 5.0
# A worker with this many unanswered questions is asked no more until it answers.
MAX_UNANSWERED = 8


class WorkerConnection:
    """The connection to one worker. Must be made on a running loop, and closed at the end.

    A worker's last answer is used for `STATE_MAX_AGE_SECONDS`: a busy worker may be slow to answer, and one that hangs
    is the supervisor's to notice. `has_left` is true once the worker has ended the connection, as it does when it stops
    serving, though its process may take a while to end.
    """

    def __init__(self, pid: int, connection: socket) -> None:
        self.pid = pid
        self.has_left = False
        self._connection = connection
        self._question_numbers = count()
        # The questions without an answer so far, by number.
        self._unanswered: dict[int, tuple[Detail, asyncio.Future[ProcessState]]] = {}
        self._last_states: dict[Detail, tuple[float, ProcessState]] = {}
        # Opened in a task of its own, so that a question that is given up does not cancel it for the others.
        self._opening = asyncio.ensure_future(asyncio.open_unix_connection(sock=connection))
        self._reading = asyncio.ensure_future(self._read())

    async def read_state(self, detail: Detail) -> ProcessState | None:
        """Return the worker's state, or its last answer if that is recent; None if there is neither, or it has left."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS[detail]):
                return await self._ask(detail)
        except (OSError, TimeoutError):
            oldest = time.monotonic() - STATE_MAX_AGE_SECONDS
            remembered = [] if self.has_left else self._list_last_states(detail)
            return next((state for at, state in remembered if at >= oldest), None)

    def _list_last_states(self, detail: Detail) -> list[tuple[float, ProcessState]]:
        """Return the last answers that have at least this detail, the newest first."""
        found = [state for known_detail, state in self._last_states.items() if known_detail >= detail]
        return sorted(found, key=itemgetter(0), reverse=True)

    async def _ask(self, detail: Detail) -> ProcessState:
        """Return the worker's answer. Raises `OSError` when the connection has ended or the worker answers nothing."""
        _, writer = await asyncio.shield(self._opening)
        if self.has_left or len(self._unanswered) >= MAX_UNANSWERED:
            raise OSError("the worker does not answer")
        number = next(self._question_numbers)
        answer: asyncio.Future[ProcessState] = asyncio.get_running_loop().create_future()
        self._unanswered[number] = detail, answer
        writer.write(QUESTION.pack(number, detail))
        return await answer

    async def _read(self) -> None:
        """Take in the answers, late ones too, to the end of the connection."""
        try:
            reader, writer = await asyncio.shield(self._opening)
            with closing(writer):
                while True:
                    number, size = ANSWER_HEAD.unpack(await reader.readexactly(ANSWER_HEAD.size))
                    self._on_answer(number, pickle.loads(await reader.readexactly(size)))
        except (OSError, EOFError):
            return
        finally:
            self.has_left = True
            for _, answer in self._unanswered.values():
                if not answer.done():
                    answer.set_exception(OSError("the worker has gone"))

    def _on_answer(self, number: int, state: ProcessState) -> None:
        detail, answer = self._unanswered.pop(number)
        self._last_states[detail] = time.monotonic(), state
        if not answer.done():
            answer.set_result(state)

    def close(self) -> None:
        """End the connection. The reading task closes the socket."""
        with suppress(OSError):
            self._connection.shutdown(SHUT_RDWR)


class WorkersView:
    """The `StateSource` of a server of several processes."""

    def __init__(self) -> None:
        self.problems = ProblemHandler()
        self._connections: dict[int, WorkerConnection] = {}
        self._state = ServerState(ServerPhase.STARTING, ())

    async def read_state(self, detail: Detail) -> ServerState:
        """Return the server's state; see `StateSource`. A worker without a recent answer is listed as unresponsive."""
        workers = list(self._connections.values())
        states = await asyncio.gather(*(worker.read_state(detail) for worker in workers))
        without_answer = [worker for worker, state in zip(workers, states, strict=True) if state is None]
        return replace(
            self._state,
            processes=tuple(state for state in states if state is not None),
            unresponsive=tuple(worker.pid for worker in without_answer if not worker.has_left),
            problems=self.problems.list_threadsafe() if detail is Detail.CALLS else (),
        )

    def add_worker(self, pid: int, connection: socket) -> None:
        """Ask a started worker from now on."""
        self._connections[pid] = WorkerConnection(pid, connection)

    def remove_worker(self, pid: int) -> None:
        """Close the connection to a worker that has ended."""
        connection = self._connections.pop(pid, None)
        if connection is not None:
            connection.close()

    def update(self, phase: ServerPhase, workers: int, replaced: int) -> None:
        """Set the supervisor's phase, the configured number of workers and the number of workers replaced so far."""
        self._state = ServerState(phase, (), workers=workers, workers_replaced=replaced)

    def close(self) -> None:
        """Close all connections."""
        for pid in list(self._connections):
            self.remove_worker(pid)


class WorkersAdmin:
    """The supervisor's admin thread and its listeners. Belongs to the supervisor's thread."""

    def __init__(self, listeners: Listeners) -> None:
        self._view = WorkersView()
        self._server = AdminServer(listeners, self._view)
        self._last_update: tuple[ServerPhase, int, int] | None = None

    def start(self) -> None:
        """Start the admin thread; see `AdminServer`."""
        self._view.problems.install()
        self._server.start()

    def stop(self) -> None:
        """End the admin thread; see `AdminServer`."""
        self._server.post_threadsafe(self._view.close)
        self._server.stop()
        self._view.problems.uninstall()

    def on_started(self, pid: int, connection: socket) -> None:
        """Pass on the connection to a started worker, which belongs to the admin thread from now on."""
        self._server.post_threadsafe(partial(self._view.add_worker, pid, connection))

    def on_ended(self, pid: int) -> None:
        """Pass on that a worker has ended."""
        self._server.post_threadsafe(partial(self._view.remove_worker, pid))

    def update(self, phase: ServerPhase, workers: int, replaced: int) -> None:
        """Pass on the supervisor's state if it has changed; see `WorkersView.update`."""
        update = phase, workers, replaced
        if update != self._last_update:
            self._last_update = update
            self._server.post_threadsafe(partial(self._view.update, *update))
