"""The mailbox: what other threads post is delivered in order, in batches, and never lost in silence."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from support.waiting import DEADLINE

from threadserve.errors import MailboxClosed
from threadserve.threads.mailbox import Mailbox

SENDERS = 8
POSTS = 2_000


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often another thread wakes it."""

    def __init__(self) -> None:
        super().__init__()
        self.wakes = 0

    def call_soon_threadsafe(self, *args: object, **options: object) -> asyncio.Handle:
        self.wakes += 1
        return super().call_soon_threadsafe(*args, **options)  # type: ignore[arg-type]


def post_from_threads(post: Callable[[int], object], count: int = SENDERS) -> list[threading.Thread]:
    """Starts threads that begin `post(number)` at the same time."""
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait(DEADLINE)
        post(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    """Waits for threads."""
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_nothing_is_lost_and_each_senders_order_kept(kind: str) -> None:
    new_loop = asyncio.new_event_loop if kind == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    mailbox = Mailbox()
    delivered: list[tuple[int, int]] = []

    async def main() -> None:
        done = asyncio.Event()

        def deliver(sender: int, number: int) -> None:
            delivered.append((sender, number))
            if len(delivered) == SENDERS * POSTS:
                done.set()

        def post(sender: int) -> None:
            for number in range(POSTS):
                mailbox.post_threadsafe(deliver, sender, number)

        mailbox.open()
        threads = post_from_threads(post)
        async with asyncio.timeout(DEADLINE):
            await done.wait()
        join(threads)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    for sender in range(SENDERS):
        assert [number for origin, number in delivered if origin == sender] == list(range(POSTS))


def test_one_wake_per_batch() -> None:
    delivered: list[int] = []

    mailbox = Mailbox()

    def post_ten(sender: int) -> None:
        for _ in range(10):
            mailbox.post_threadsafe(delivered.append, sender)

    async def main(loop: CountingLoop) -> None:
        mailbox.open()
        for batch in (1, 2):
            # The loop does not turn while this waits, so that all of it is one batch.
            join(post_from_threads(post_ten))
            assert loop.wakes == batch
            await asyncio.sleep(0.001)
            assert len(delivered) == batch * SENDERS * 10

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, CountingLoop)
        runner.run(main(loop))


def test_what_was_posted_before_opening_comes_first() -> None:
    mailbox = Mailbox()
    delivered: list[int] = []
    for number in range(3):
        mailbox.post_threadsafe(delivered.append, number)

    async def main() -> None:
        mailbox.open()
        mailbox.post_threadsafe(delivered.append, 3)
        assert delivered == []
        await asyncio.sleep(0.001)

    asyncio.run(main())
    assert delivered == [0, 1, 2, 3]


def test_a_failing_call_is_logged_and_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    mailbox = Mailbox()
    delivered: list[int] = []

    async def main() -> None:
        mailbox.open()
        mailbox.post_threadsafe(int, "no number")
        mailbox.post_threadsafe(delivered.append, 1)
        await asyncio.sleep(0.001)

    asyncio.run(main())
    assert delivered == [1]
    assert [(record.levelname, record.exc_info[0]) for record in caplog.records if record.exc_info] == [
        ("ERROR", ValueError)
    ]


def test_a_closed_mailbox_refuses() -> None:
    mailbox = Mailbox()
    delivered: list[str] = []

    async def main() -> None:
        mailbox.open()
        mailbox.post_threadsafe(delivered.append, "posted in time")
        mailbox.close()
        with pytest.raises(MailboxClosed):
            mailbox.post_threadsafe(delivered.append, "too late")
        assert delivered == ["posted in time"]
        await asyncio.sleep(0.001)

    asyncio.run(main())
    assert delivered == ["posted in time"]


def test_a_mailbox_that_was_never_opened_delivers_when_it_is_closed() -> None:
    mailbox = Mailbox()
    delivered: list[int] = []
    mailbox.post_threadsafe(delivered.append, 1)
    mailbox.close()
    assert delivered == [1]
    with pytest.raises(MailboxClosed):
        mailbox.post_threadsafe(delivered.append, 2)


def test_every_post_is_delivered_or_refused_while_it_is_being_closed() -> None:
    accepted: list[int] = [0] * SENDERS
    refused = threading.Barrier(SENDERS + 1)
    mailbox = Mailbox()
    delivered: list[int] = []
    in_full_flow = asyncio.Event()

    def deliver(sender: int) -> None:
        delivered.append(sender)
        if len(delivered) == SENDERS * 100:
            in_full_flow.set()

    def post(sender: int) -> None:
        try:
            while True:
                mailbox.post_threadsafe(deliver, sender)
                accepted[sender] += 1
        except MailboxClosed:
            refused.wait(DEADLINE)

    async def main() -> list[threading.Thread]:
        mailbox.open()
        threads = post_from_threads(post)
        async with asyncio.timeout(DEADLINE):
            await in_full_flow.wait()
        mailbox.close()
        return threads

    threads = asyncio.run(main())
    refused.wait(DEADLINE)
    join(threads)
    assert [delivered.count(sender) for sender in range(SENDERS)] == accepted
