"""A server of several processes, as its supervisor's admin thread sees it.

Runs on the admin thread, which owns the connections to the workers; the supervisor's thread posts there who has come
and gone, and what it knows itself.
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
from threadserve.metrics.states import STARTING, Detail, ProcessState, ServerState

# How long, in seconds, workers may take to answer, all together: a probe is to have its answer in twice that. What is
# counted takes longer where they are busy, and what their threads do longest.
ANSWER_TIMEOUT_SECONDS = {Detail.HEALTH: 0.025, Detail.NUMBERS: 0.25, Detail.CALLS: 3.0}
# For how long, in seconds, an answer counts for a worker that does not give another in time.
STATE_MAX_AGE_SECONDS = 5.0
# A worker that does not come to answer so many questions is asked no more until it does.
MAX_UNANSWERED = 8


class WorkerConnection:
    """The connection to one worker. To be made on a running loop, and closed in the end.

    What it has answered last counts for `STATE_MAX_AGE_SECONDS`: a worker that is busy may take long to answer, and one
    that hangs is the supervisor's to notice. It `has_left` when it has ended the connection, as it does when it has
    served its last, though its process may take a while to end.
    """

    def __init__(self, pid: int, connection: socket) -> None:
        self.pid = pid
        self.has_left = False
        self._connection = connection
        self._numbers = count()
        # What has been asked and not been answered, by the number of the question.
        self._asked: dict[int, tuple[Detail, asyncio.Future[ProcessState]]] = {}
        self._last: dict[Detail, tuple[float, ProcessState]] = {}
        # Opened once, for all who ask at the same time, whichever of them waits no longer.
        self._opening = asyncio.ensure_future(asyncio.open_unix_connection(sock=connection))
        self._reading = asyncio.ensure_future(self._read())

    async def state(self, detail: Detail) -> ProcessState | None:
        """How the worker is, or was a moment ago; None where it has not said so for long, or has left."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS[detail]):
                return await self._ask(detail)
        except (OSError, TimeoutError):
            oldest = time.monotonic() - STATE_MAX_AGE_SECONDS
            remembered = [] if self.has_left else self._remembered(detail)
            return next((state for at, state in remembered if at >= oldest), None)

    def _remembered(self, detail: Detail) -> list[tuple[float, ProcessState]]:
        """The last answers with at least so much in them, the newest first."""
        found = [answer for told, answer in self._last.items() if told >= detail]
        return sorted(found, key=itemgetter(0), reverse=True)

    async def _ask(self, detail: Detail) -> ProcessState:
        """Raises `OSError` when the connection has ended, or the worker answers nothing."""
        _, writer = await asyncio.shield(self._opening)
        if self.has_left or len(self._asked) >= MAX_UNANSWERED:
            raise OSError("the worker does not answer")
        number = next(self._numbers)
        answer: asyncio.Future[ProcessState] = asyncio.get_running_loop().create_future()
        self._asked[number] = detail, answer
        writer.write(QUESTION.pack(number, detail))
        return await answer

    async def _read(self) -> None:
        """Takes in each answer, be it late, to the end of the connection."""
        try:
            reader, writer = await asyncio.shield(self._opening)
            with closing(writer):
                while True:
                    number, size = ANSWER_HEAD.unpack(await reader.readexactly(ANSWER_HEAD.size))
                    self._take(number, pickle.loads(await reader.readexactly(size)))
        except (OSError, EOFError):
            return
        finally:
            self.has_left = True
            for _, answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(OSError("the worker has gone"))

    def _take(self, number: int, state: ProcessState) -> None:
        detail, answer = self._asked.pop(number)
        self._last[detail] = time.monotonic(), state
        if not answer.done():
            answer.set_result(state)

    def close(self) -> None:
        """Ends the connection, which is closed by who reads from it."""
        with suppress(OSError):
            self._connection.shutdown(SHUT_RDWR)


class WorkersView:
    """What can be seen of the workers: see `Source`."""

    def __init__(self) -> None:
        self.problems = ProblemHandler()
        self._links: dict[int, WorkerConnection] = {}
        self._overview = ServerState(STARTING, ())

    async def look(self, detail: Detail) -> ServerState:
        """See `Source`. A worker that has not answered for long is told of as silent, and of one that left nothing."""
        links = list(self._links.values())
        answers = await asyncio.gather(*(link.state(detail) for link in links))
        told = list(zip(links, answers, strict=True))
        return replace(
            self._overview,
            processes=tuple(answer for _, answer in told if answer is not None),
            silent=tuple(link.pid for link, answer in told if answer is None and not link.has_left),
            problems=self.problems.last_threadsafe() if detail is Detail.CALLS else (),
        )

    def adopt(self, pid: int, connection: socket) -> None:
        """A worker has been started."""
        self._links[pid] = WorkerConnection(pid, connection)

    def forget(self, pid: int) -> None:
        """A worker has ended."""
        link = self._links.pop(pid, None)
        if link is not None:
            link.close()

    def tell(self, phase: str, workers: int, replaced: int) -> None:
        """How far the supervisor is, how many workers there are to be, and how many others have taken the place of."""
        self._overview = ServerState(phase, (), workers=workers, workers_replaced=replaced)

    def close(self) -> None:
        """Ends all connections."""
        for pid in list(self._links):
            self.forget(pid)


class WorkersAdmin:
    """The supervisor's way to its admin thread, and that one's listeners. Belongs to the supervisor's thread."""

    def __init__(self, listeners: Listeners) -> None:
        self._view = WorkersView()
        self._server = AdminServer(listeners, self._view)
        self._told: tuple[str, int, int] | None = None

    def start(self) -> None:
        """See `AdminServer`."""
        self._view.problems.install()
        self._server.start()

    def stop(self) -> None:
        """See `AdminServer`."""
        self._server.post_threadsafe(self._view.close)
        self._server.stop()
        self._view.problems.uninstall()

    def on_started(self, pid: int, connection: socket) -> None:
        """A worker has been started, to which this is the connection, the admin thread's from now on."""
        self._server.post_threadsafe(partial(self._view.adopt, pid, connection))

    def on_ended(self, pid: int) -> None:
        """A worker has ended."""
        self._server.post_threadsafe(partial(self._view.forget, pid))

    def tell(self, phase: str, workers: int, replaced: int) -> None:
        """See `WorkersView.tell`; what is no news is not passed on."""
        told = phase, workers, replaced
        if told != self._told:
            self._told = told
            self._server.post_threadsafe(partial(self._view.tell, *told))
