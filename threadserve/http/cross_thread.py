"""The application's `send`, awaited on another thread than the connection's own.

A `CrossThreadSender` belongs to a loop, and other threads call only its methods named `*_threadsafe` and `run_on_loop`:
a message goes to the loop through its mailbox and is sent there, and the outcome comes back to the loop that awaits it.
It owns the messages under way, and takes no lock but the mailbox's.
"""

import asyncio
from collections.abc import Callable, Coroutine

from threadserve.errors import ClientDisconnected, MailboxClosed
from threadserve.http.tasks import StartTask
from threadserve.types import Message

Post = Callable[..., object]
SendMessage = Callable[[Message], Coroutine[object, None, None]]


class PendingSend:
    """One message under way. The loop that sends it owns `task`, the loop that awaits the outcome owns `future`."""

    __slots__ = ("future", "loop", "message", "send", "task")

    def __init__(self, send: SendMessage, message: Message) -> None:
        self.send = send
        self.message = message
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.task: asyncio.Task[None] | None = None

    def report_threadsafe(self, error: BaseException | None) -> None:
        """Resolve `future` on its own loop: with an error, or with None for a message that was sent."""
        try:
            self.loop.call_soon_threadsafe(self._resolve, error)
        except RuntimeError:
            # The loop that waited is closed.
            return

    def _resolve(self, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class CrossThreadSender:
    """Sends the messages that other threads have for the connections of one loop."""

    def __init__(self, post_threadsafe: Post, start_task: StartTask) -> None:
        self._loop = asyncio.get_running_loop()
        self._post = post_threadsafe
        self._start_task = start_task
        self._pending: set[PendingSend] = set()

    async def run_on_loop(self, work: SendMessage, message: Message) -> None:
        """Await `work(message)` on the loop's own thread, whichever thread awaits this."""
        if asyncio.get_running_loop() is self._loop:
            await work(message)
        else:
            await self.send_threadsafe(work, message)

    async def send_threadsafe(self, send: SendMessage, message: Message) -> None:
        """Await `send(message)` on this loop from another one; raise what it raises.

        The messages of one sender keep their order. Raises `ClientDisconnected` when the loop ends before the message
        has been sent.
        """
        pending = PendingSend(send, message)
        try:
            self._post(self._begin, pending)
        except MailboxClosed:
            raise loop_ended_error() from None
        try:
            await pending.future
        except asyncio.CancelledError:
            self._cancel_threadsafe(pending)
            raise

    def _cancel_threadsafe(self, pending: PendingSend) -> None:
        try:
            self._post(self._cancel, pending)
        except MailboxClosed:
            return

    # On the loop's own thread.

    def _begin(self, pending: PendingSend) -> None:
        self._pending.add(pending)
        # A copy of this thread's own: the first `get` on a dict of another thread waits for its lock in free-threaded
        # 3.13, which begins with giving up the CPU forty times. On a busy system that takes a quarter of a second.
        pending.task = task = self._start_task(pending.send({**pending.message}))
        if task.done():
            self._finish(pending, task)
        else:
            task.add_done_callback(lambda task: self._finish(pending, task))

    def _finish(self, pending: PendingSend, task: "asyncio.Task[None]") -> None:
        error = loop_ended_error() if task.cancelled() else task.exception()
        if pending in self._pending:
            self._pending.discard(pending)
            pending.report_threadsafe(error)

    def _cancel(self, pending: PendingSend) -> None:
        if pending.task is not None:
            pending.task.cancel()

    def close(self) -> None:
        """Tell every sender that still waits that its client has gone, because the loop ends."""
        sends, self._pending = self._pending, set()
        for pending in sends:
            pending.report_threadsafe(loop_ended_error())


def loop_ended_error() -> ClientDisconnected:
    """Return the error for a sender that can no longer reach the connection."""
    return ClientDisconnected("the connection's thread has ended")
