"""Accepting for one loop: connections from listeners of its own, and those that the acceptor hands over.

Belongs to the loop's thread, except for `waiting_threadsafe`. It owns the loop's listeners and the accepted connections
until they are opened. It never reads from a connection.
"""

import asyncio
from collections import deque
from socket import socket

from threadserve.listening.accepted import AcceptedSocket
from threadserve.threads.accept_queue import (
    EXHAUSTION_PAUSE_SECONDS,
    HANDSHAKE_SECONDS,
    AcceptQueue,
    DescriptorsExhausted,
    ExhaustionLog,
    drop_new_connections,
)
from threadserve.threads.handover import HandoverQueue
from threadserve.threads.opening import ConnectionOpener


class LoopAcceptor:
    """Takes connections and lets `opener` open them. If the loop dies first, they are left to other loops."""

    def __init__(self, loop: asyncio.AbstractEventLoop, opener: ConnectionOpener, handover: HandoverQueue) -> None:
        self.opener = opener
        self._loop = loop
        self._handover = handover
        self._queues: list[AcceptQueue] = []
        self._accepted: deque[AcceptedSocket] = deque()
        self._exhaustion = ExhaustionLog()
        self._is_closed = False

    def waiting_threadsafe(self) -> int:
        """Return the number of connections that were taken and are not being opened yet."""
        return len(self._accepted)

    def listen(self, listeners: list[socket]) -> None:
        """Accept from these sockets, which listen already."""
        if not self._is_closed:
            self._queues = [AcceptQueue(listener) for listener in listeners]
            self._watch()

    def take_handover(self) -> None:
        """Open the connections in the handover queue."""
        if self._is_closed or not self._handover.is_wakeup_pending():
            # The acceptor will move it to another loop, or it was taken with the connections before it.
            return
        self._handover.on_wakeup()
        self._accepted += self._handover.take_all()
        self._open_accepted()

    def reopen(self, connection: AcceptedSocket) -> None:
        """Open a connection again that the loop wanted to return and nobody took."""
        self._accepted.append(connection)
        self._open_accepted()

    async def stop_listening(self) -> None:
        """Close the listeners, and open what waited in them."""
        if self._queues:
            for queue in self._queues:
                drop_new_connections(queue.listener)
            await asyncio.sleep(HANDSHAKE_SECONDS)
        self._unwatch()
        for queue in self._queues:
            self._accepted += queue.drain_and_close()
        self._queues = []
        self._open_accepted()

    def close(self) -> None:
        """Take no more connections, and return those that are not open. The listeners stay open for a replacement."""
        self._is_closed = True
        self._unwatch()
        self._queues = []
        self._handover.return_all((*self._accepted, *self.opener.close()))
        self._accepted.clear()

    def _watch(self) -> None:
        for queue in self._queues:
            self._loop.add_reader(queue.listener, self._accept, queue)

    def _unwatch(self) -> None:
        for queue in self._queues:
            self._loop.remove_reader(queue.listener)

    def _accept(self, queue: AcceptQueue) -> None:
        """Accept what waits, and open it in the next iteration of the loop.

        After an exception that kills it, uvloop runs one more iteration, in which a connection opened at once would be
        read from.
        """
        try:
            batch = queue.take_batch()
        except DescriptorsExhausted as error:
            self._pause(error)
            return
        if batch:
            self._accepted += batch
            self._loop.call_soon(self._open_accepted)

    def _pause(self, error: DescriptorsExhausted) -> None:
        """Stop polling the listeners, which stay readable while nothing can be accepted from them."""
        self._exhaustion.report(error)
        if self.opener.metrics is not None:
            self.opener.metrics.exhaustions += 1
        self._unwatch()
        self._loop.call_later(EXHAUSTION_PAUSE_SECONDS, self._watch)

    def _open_accepted(self) -> None:
        if not self._is_closed:
            self.opener.open_all(self._accepted)
