"""The thread of a loop: when it has ended."""

import asyncio
import threading
import time
from typing import Any

from support.waiting import DEADLINE

from threadserve.threads.loop_runners import LoopThread


class Brief:
    """A loop server that has nothing to serve."""

    number = 1

    async def main(self) -> None:
        """Ends at once."""


def test_a_thread_whose_loop_is_closed_is_waited_for_however_late_it_is_run() -> None:
    server: Any = Brief()
    has_reported = threading.Event()

    def report(error: BaseException | None) -> None:
        has_reported.set()
        time.sleep(0.1)

    host = LoopThread(server, asyncio.new_event_loop, report)
    host.start()
    assert has_reported.wait(DEADLINE)
    assert host.join(0)
