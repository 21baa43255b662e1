"""The one way into a loop thread from outside.

Any thread posts; the owner's loop delivers. The mailbox owns the messages that are not yet delivered, guarded by its
own lock, which is held for a few lines and never while a message runs.
"""

import asyncio
import logging
import threading
from collections.abc import Callable

from threadserve.errors import MailboxClosed
from threadserve.types import Arguments

logger = logging.getLogger("threadserve.error")

PostedCall = tuple[Callable[..., object], tuple[object, ...]]


class Mailbox:
    """Calls that other threads want to run on a loop.

    The messages of one sender are delivered in the order in which it posted them, including those from before `open`.
    The loop is woken once per batch.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._mailbox_lock = threading.Lock()
        self._messages: list[PostedCall] = []
        self._closed = False

    def post_threadsafe(self, call: Callable[[*Arguments], object], *args: *Arguments) -> None:
        """Run `call(*args)` on the loop. Raises `MailboxClosed` if the loop takes no more."""
        with self._mailbox_lock:
            if self._closed:
                raise MailboxClosed
            first = not self._messages
            self._messages.append((call, args))
            if first and self._loop is not None:
                self._loop.call_soon_threadsafe(self._deliver)

    def open(self) -> None:
        """Start to deliver on the running loop, whose thread is the owner from now on."""
        with self._mailbox_lock:
            self._loop = asyncio.get_running_loop()
            if self._messages:
                self._loop.call_soon(self._deliver)

    def close(self) -> None:
        """Refuse further messages, and deliver those that were posted before."""
        with self._mailbox_lock:
            self._closed = True
        self._deliver()

    def _deliver(self) -> None:
        with self._mailbox_lock:
            messages, self._messages = self._messages, []
        for call, args in messages:
            try:
                call(*args)
            except Exception as error:
                logger.error("A call from another thread failed", exc_info=error)
