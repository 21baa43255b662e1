"""Idle connections on their way from their loop back to the acceptor.

Belongs to the loop's thread. It owns the descriptor that it makes of a connection's socket until the acceptor has it,
and the credit that the acceptor has granted; it never reads from a connection.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence

from threadserve.errors import MailboxClosed
from threadserve.http.deadlines import Deadlines
from threadserve.http.peer import Peer
from threadserve.http.registry import Connection, ConnectionRegistry
from threadserve.listening.accepted import ReturnedSocket

# How many connections are looked at in one turn of the loop when many are to go.
RELEASED_PER_TURN = 64
# How many that have rested go at a tick: where thousands of clients ask every other second, the way to the acceptor and
# back would be most of the work.
MAX_RELEASED_PER_TICK = 500
# Where a loop has more connections than this, new ones that are idle go after `NEW_CONNECTION_SECONDS`: most of a crowd
# only waits, and for each the loop has several objects, whose memory would not be of use again.
CROWDED_CONNECTIONS = 256
NEW_CONNECTION_SECONDS = 0.1

# Takes a connection, on any thread. Raises `MailboxClosed` when the acceptor takes none.
GiveBack = Callable[[ReturnedSocket], None]


class ReleasedProtocol(asyncio.Protocol):
    """The last protocol of a transport whose connection goes on elsewhere, when this transport is closed."""

    def __init__(self, releaser: "IdleReleaser", returned: ReturnedSocket) -> None:
        self.returned = returned
        self._releaser = releaser

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is closed, and with it its descriptor."""
        self._releaser.on_closed(self)

    def cancel(self) -> None:
        """Does nothing: it does not wait for the client."""


class IdleReleaser:
    """Gives idle connections back.

    While there is `credit`, a connection goes as soon as a response is complete; else only when it has rested.
    """

    __slots__ = (
        "_completed_at",
        "_deadlines",
        "_due",
        "_give_back_threadsafe",
        "_is_closed",
        "_loop",
        "_newcomers",
        "_registry",
        "_released",
        "_takes_busy",
        "credit",
        "serve_again",
    )

    # Has the loop serve a connection again that the acceptor does not take.
    serve_again: Callable[[ReturnedSocket], None]

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deadlines: Deadlines,
        registry: ConnectionRegistry,
        give_back_threadsafe: GiveBack,
    ) -> None:
        self._loop = loop
        self._registry = registry
        self._deadlines = deadlines
        self._give_back_threadsafe = give_back_threadsafe
        self._due: list[Connection] = []
        # When, in the seconds of `time.monotonic`, the connections were in use that go now, unless it was long ago.
        self._completed_at: float | None = None
        self._is_closed = False
        self._released: set[ReleasedProtocol] = set()
        self._newcomers: list[Connection] = []
        self._takes_busy = False
        self.credit = 0

    def grant(self, credit: int, takes_busy: bool) -> None:
        """Has so many connections go after their next response, in place of what was granted before."""
        self.credit = 0 if self._is_closed else credit
        self._takes_busy = takes_busy

    def close(self) -> None:
        """Gives nothing back from now on, but what has left already."""
        self._is_closed = True
        self.credit = 0

    def abandon(self) -> None:
        """The loop ends, perhaps without another turn: what has left goes now."""
        self.close()
        for released in list(self._released):
            self._released.discard(released)
            try:
                self._give_back_threadsafe(released.returned)
            except MailboxClosed:
                released.returned.close()

    def on_complete(self, connection: Connection, busy_until: float) -> None:
        """A response is complete, while there is credit: its connection goes if nothing comes in two turns.

        One that is busy, since it was wanted again as soon as it had been given back, goes only to even out the load.
        """
        if busy_until > self._deadlines.now and not self._takes_busy:
            return
        if not self._due:
            # A turn later what was held of the responses has been written.
            self._loop.call_soon(self._loop.call_soon, self._release_due)
        self._due.append(connection)

    def _release_due(self) -> None:
        due, self._due = self._due, []
        self._completed_at = time.monotonic()
        for connection in due:
            if self.credit > 0 and connection.release():
                self.credit -= 1
        self._completed_at = None

    def on_new(self, connection: Connection) -> None:
        """A new connection is about to be open."""
        if len(self._registry.connections) >= CROWDED_CONNECTIONS:
            if not self._newcomers:
                self._loop.call_later(NEW_CONNECTION_SECONDS, self._release_newcomers)
            self._newcomers.append(connection)

    def _release_newcomers(self) -> None:
        newcomers, self._newcomers = self._newcomers, []
        self.release_all(newcomers)

    def release_long_idle(self) -> None:
        """Has connections go that have been idle for long. Called at every tick."""
        deadlines = self._deadlines
        self.release_all(self._registry.take_idle(deadlines.now, deadlines.release, MAX_RELEASED_PER_TICK))

    def release_idle(self) -> None:
        """Has all connections go that are idle."""
        self.release_all(list(self._registry.connections))

    def release_all(self, connections: Sequence[Connection]) -> None:
        """Has those of the connections go that are idle, a few in each turn of the loop."""
        for connection in connections[:RELEASED_PER_TURN]:
            # It may have gone, or become one of another protocol.
            if connection in self._registry.connections:
                connection.release()
        if len(connections) > RELEASED_PER_TURN:
            self._loop.call_soon(self.release_all, connections[RELEASED_PER_TURN:])

    def release(self, transport: asyncio.Transport, peer: Peer, deadline: float, speaks_http1: bool) -> bool:
        """Gives the connection of a transport back that is idle; returns whether that has begun.

        Nobody reads from it from then on until the acceptor has handed it to a loop. The acceptor gets it when the
        transport has closed its own descriptor: while one is open, closing the other would not end the connection.
        """
        if self._is_closed or transport.is_closing() or transport.get_write_buffer_size():
            return False
        try:
            returned = returned_from(transport, peer)
        except OSError:
            # There is no descriptor left: the connection stays.
            return False
        returned.since = self._completed_at
        returned.speaks_http1 = speaks_http1
        returned.deadline = time.monotonic() + deadline - self._deadlines.now
        released = ReleasedProtocol(self, returned)
        self._released.add(released)
        self._registry.opening.add(released)
        transport.pause_reading()
        transport.set_protocol(released)
        # There is nothing to write: this only closes.
        transport.abort()
        return True

    def on_closed(self, released: ReleasedProtocol) -> None:
        """A transport is closed whose connection the acceptor is to have now."""
        if released in self._released:
            self._released.discard(released)
            try:
                self._give_back_threadsafe(released.returned)
            except MailboxClosed:
                self.serve_again(released.returned)
        self._registry.on_opened(released)


def returned_from(transport: asyncio.Transport, peer: Peer) -> ReturnedSocket:
    """The connection of a transport, by a descriptor of its own. Raises `OSError`."""
    socket = transport.get_extra_info("socket")
    returned = ReturnedSocket(socket.family, socket.type, socket.proto, os.dup(socket.fileno()))
    returned.peername = peer.client
    returned.sockname = peer.server
    returned.is_busy = False
    return returned
