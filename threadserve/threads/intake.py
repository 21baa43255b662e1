"""The way of connections into one loop: those that it accepts itself, and those that it is handed.

Runs on the loop's own thread, except for `waiting_threadsafe`. It owns the loop's listeners and what was accepted from
them; it never reads from a connection.
"""

import asyncio
from collections import deque
from socket import socket
from typing import cast

from threadserve.listening.accepted import AcceptedSocket
from threadserve.threads.accepting import (
    HANDSHAKE,
    PAUSE,
    AcceptQueue,
    Exhausted,
    ExhaustionLog,
    ignore_newcomers,
)
from threadserve.threads.distribution import HandOver
from threadserve.threads.opening import Opener


class Intake:
    """Takes connections, and has them opened. What kills the loop before they are leaves them to others."""

    def __init__(self, loop: asyncio.AbstractEventLoop, opener: Opener, handed: HandOver) -> None:
        self.opener = opener
        self._loop = loop
        self._handed = handed
        self._queues: list[AcceptQueue] = []
        self._accepted: deque[AcceptedSocket] = deque()
        self._exhaustion = ExhaustionLog()
        self._is_closed = False

    def waiting_threadsafe(self) -> int:
        """How many connections have been taken and not yet begun with."""
        return len(self._accepted)

    def listen(self, listeners: list[socket]) -> None:
        """Accepts from these sockets, which listen already."""
        if not self._is_closed:
            self._queues = [AcceptQueue(listener) for listener in listeners]
            self._watch()

    def take_handed(self) -> None:
        """Opens what has been handed over."""
        if self._is_closed or not self._handed.owes_turn():
            # The acceptor gives it to somebody else; or it was taken with what was handed over before it.
            return
        self._handed.begin_turn()
        self._accepted += cast("list[AcceptedSocket]", self._handed.take_all())
        self._open_accepted()

    def take_back(self, connection: AcceptedSocket) -> None:
        """Opens a connection again that nobody else takes."""
        self._accepted.append(connection)
        self._open_accepted()

    async def stop_listening(self) -> None:
        """Closes the listeners, and opens what waited in them."""
        if self._queues:
            for queue in self._queues:
                ignore_newcomers(queue.listener)
            await asyncio.sleep(HANDSHAKE)
        self._unwatch()
        for queue in self._queues:
            self._accepted += queue.drain_and_close()
        self._queues = []
        self._open_accepted()

    def close(self) -> None:
        """Takes nothing more, and gives back what is not open; the listeners are for a successor."""
        self._is_closed = True
        self._unwatch()
        self._queues = []
        self._handed.give_back((*self._accepted, *self.opener.close()))
        self._accepted.clear()

    def _watch(self) -> None:
        for queue in self._queues:
            self._loop.add_reader(queue.listener, self._accept, queue)

    def _unwatch(self) -> None:
        for queue in self._queues:
            self._loop.remove_reader(queue.listener)

    def _accept(self, queue: AcceptQueue) -> None:
        """Accepts what waits, to open it a turn of the loop later.

        What kills uvloop lets it turn once more: a connection that was opened at once would still be read from.
        """
        try:
            batch = queue.take_batch()
        except Exhausted as error:
            self._pause(error)
            return
        if batch:
            self._accepted += batch
            self._loop.call_soon(self._open_accepted)

    def _pause(self, error: Exhausted) -> None:
        """Stops polling listeners that stay readable while nothing can be accepted from them."""
        self._exhaustion.report(error)
        if self.opener.metrics is not None:
            self.opener.metrics.exhaustions += 1
        self._unwatch()
        self._loop.call_later(PAUSE, self._watch)

    def _open_accepted(self) -> None:
        if not self._is_closed:
            self.opener.open_all(self._accepted)
