"""Calls that another thread has made on a loop through its mailbox."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from queue import SimpleQueue

from loadtests.errors import LoadTestError
from loadtests.micro.benchmark import Benchmark, Repeat
from loadtests.micro.client import PATIENCE
from threadserve.threads.mailbox import Mailbox

BATCH = 100


class Sender:
    """A thread that posts when it is asked to, so many messages at a time, and waits until the last has arrived."""

    def __init__(self, mailbox: Mailbox, batch: int) -> None:
        self._mailbox = mailbox
        self._batch = batch
        self._arrived: SimpleQueue[None] = SimpleQueue()
        self._wanted: SimpleQueue[tuple[int, asyncio.Future[None]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="sender")
        self._thread.start()
        self._count = 0

    async def repeat(self, operations: int) -> None:
        """Has so many messages posted, and awaits them; raises LoadTestError where they are not delivered."""
        before = self._count
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wanted.put((operations, done))
        await done
        if self._count - before != operations:
            raise LoadTestError(f"of {operations} messages {self._count - before} were delivered")

    def stop(self) -> None:
        """Ends the thread."""
        self._wanted.put(None)
        self._thread.join(PATIENCE)

    def _on_message(self) -> None:
        self._count += 1

    def _on_last(self) -> None:
        self._count += 1
        self._arrived.put(None)

    def _work(self) -> None:
        while (wanted := self._wanted.get()) is not None:
            operations, done = wanted
            post = self._mailbox.post_threadsafe
            for _ in range(operations // self._batch):
                for _ in range(self._batch - 1):
                    post(self._on_message)
                post(self._on_last)
                self._arrived.get()
            post(done.set_result, None)


@asynccontextmanager
async def sender(batch: int) -> AsyncIterator[Repeat]:
    """A thread beside the running loop."""
    mailbox = Mailbox()
    mailbox.open()
    thread = Sender(mailbox, batch)
    try:
        await thread.repeat(batch)
        yield thread.repeat
    finally:
        thread.stop()


BENCHMARKS = (
    Benchmark("mailbox", "message to a loop and word back", 50, partial(sender, 1)),
    Benchmark("mailbox-batch", f"message to a loop, {BATCH} at a time", 10 * BATCH, partial(sender, BATCH)),
)
