"""A server of several processes, as its supervisor's admin thread sees it.

Runs on the admin thread, which owns the connections to the workers; the supervisor's thread posts there who has come
and gone, and what it knows itself.
"""

import asyncio
import pickle
from dataclasses import replace
from functools import partial
from itertools import count
from socket import socket

from threadserve.admin.problems import ProblemKeeper
from threadserve.admin.reporter import ANSWER_HEAD, QUESTION
from threadserve.admin.server import AdminServer
from threadserve.listening.tcp import Listeners
from threadserve.metrics.states import STARTING, Detail, Overview, ProcessState

# How long, in seconds, workers may take to answer, all together: a probe is to have its answer in twice that. What is
# counted takes longer where they are busy, and what their threads do longest.
PATIENCE_SECONDS = {Detail.HEALTH: 0.025, Detail.NUMBERS: 0.25, Detail.CALLS: 3.0}
# A worker that does not come to answer so many questions is asked no more until it does.
MOST_UNANSWERED = 8


class Link:
    """The connection to one worker. An answer that comes late is read past by whoever asks next."""

    def __init__(self, pid: int, connection: socket) -> None:
        self.pid = pid
        self._connection = connection
        self._numbers = count()
        self._unanswered = 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._answers: dict[int, asyncio.Future[ProcessState]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def ask(self, detail: Detail) -> ProcessState:
        """The state of the process. Raises `OSError` when the connection has ended, or the worker answers nothing."""
        if self._unanswered >= MOST_UNANSWERED:
            raise OSError("the worker does not answer")
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(sock=self._connection)
            self._reading = asyncio.create_task(self._read())
        number = next(self._numbers)
        answer: asyncio.Future[ProcessState] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            self._streams[1].write(QUESTION.pack(number, detail))
            self._unanswered += 1
            return await answer
        finally:
            del self._answers[number]

    async def _read(self) -> None:
        """Hands each answer to who has asked, to the end of the connection."""
        assert self._streams is not None
        reader, _ = self._streams
        try:
            while True:
                number, size = ANSWER_HEAD.unpack(await reader.readexactly(ANSWER_HEAD.size))
                state = pickle.loads(await reader.readexactly(size))
                self._unanswered -= 1
                answer = self._answers.get(number)
                if answer is not None and not answer.done():
                    answer.set_result(state)
        except (OSError, EOFError) as error:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(OSError(f"the worker has gone: {error}"))

    def close(self) -> None:
        """Ends the connection."""
        if self._streams is not None:
            self._streams[1].close()
        else:
            self._connection.close()


class WorkersView:
    """What can be seen of the workers: see `Source`."""

    def __init__(self) -> None:
        self.problems = ProblemKeeper()
        self._links: dict[int, Link] = {}
        self._overview = Overview(STARTING, ())

    async def look(self, detail: Detail) -> Overview:
        """See `Source`. A worker that does not answer in time is told of as silent."""
        links = list(self._links.values())
        patience = PATIENCE_SECONDS[detail]
        answers = await asyncio.gather(*(ask(link, patience, detail) for link in links))
        return replace(
            self._overview,
            processes=tuple(answer for answer in answers if answer is not None),
            silent=tuple(link.pid for link, answer in zip(links, answers, strict=True) if answer is None),
            problems=self.problems.last_threadsafe() if detail is Detail.CALLS else (),
        )

    def adopt(self, pid: int, connection: socket) -> None:
        """A worker has been started."""
        self._links[pid] = Link(pid, connection)

    def forget(self, pid: int) -> None:
        """A worker has ended."""
        link = self._links.pop(pid, None)
        if link is not None:
            link.close()

    def tell(self, phase: str, workers: int, replaced: int) -> None:
        """How far the supervisor is, how many workers there are to be, and how many others have taken the place of."""
        self._overview = Overview(phase, (), workers=workers, workers_replaced=replaced)

    def close(self) -> None:
        """Ends all connections."""
        for pid in list(self._links):
            self.forget(pid)


async def ask(link: Link, patience: float, detail: Detail) -> ProcessState | None:
    """How a worker is, or None where it does not say so in time."""
    try:
        async with asyncio.timeout(patience):
            return await link.ask(detail)
    except (OSError, TimeoutError):
        return None


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
