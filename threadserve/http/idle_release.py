"""The release of idle connections from their loop to the acceptor.

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

# The most connections that are released in one turn of the loop.
RELEASED_PER_TURN = 64
# The most connections that are released at a tick after long idling: where thousands of clients ask every other second,
# the way to the acceptor and back would be most of the work.
MAX_RELEASED_PER_TICK = 500
# On a loop with so many connections, new ones that are idle are released after `NEW_CONNECTION_SECONDS`: most of a
# crowd only waits, and for each the loop has several objects, whose memory would not be of use again.
CROWDED_CONNECTIONS = 256
NEW_CONNECTION_SECONDS = 0.1

# Takes a connection, on any thread. Raises `MailboxClosed` when the acceptor takes none.
GiveBack = Callable[[ReturnedSocket], None]


class ReleasedProtocol(asyncio.Protocol):
    """The last protocol of a transport whose connection goes on elsewhere once this transport is closed."""

    def __init__(self, releaser: "IdleReleaser", returned: ReturnedSocket) -> None:
        self.returned = returned
        self._releaser = releaser

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand the connection to the acceptor, now that the transport has closed its descriptor."""
        self._releaser.on_closed(self)

    def cancel(self) -> None:
        """Do nothing: it does not wait for the client."""


class IdleReleaser:
    """Releases the idle connections of a loop to the acceptor. Belongs to the loop's thread.

    While there is `credit`, a connection is released as soon as a response is complete; else only after it has been
    idle for a while.
    """

    __slots__ = (
        "_completed",
        "_completed_at",
        "_deadlines",
        "_give_back_threadsafe",
        "_is_closed",
        "_loop",
        "_new_connections",
        "_registry",
        "_released",
        "_releases_busy",
        "credit",
        "serve_again",
    )

    # Serves a connection again that the acceptor does not take.
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
        self._completed: list[Connection] = []
        # The time, by `time.monotonic`, when the connections released now were in use, unless that was long ago.
        self._completed_at: float | None = None
        self._is_closed = False
        self._released: set[ReleasedProtocol] = set()
        self._new_connections: list[Connection] = []
        self._releases_busy = False
        self.credit = 0

    def grant(self, credit: int, releases_busy: bool) -> None:
        """Release `credit` connections, each after its next response; this replaces what was granted before.

        With `releases_busy`, connections that were wanted again at once count too.
        """
        self.credit = 0 if self._is_closed else credit
        self._releases_busy = releases_busy

    def close(self) -> None:
        """Release nothing from now on; what is being released still goes."""
        self._is_closed = True
        self.credit = 0

    def abandon(self) -> None:
        """Give the acceptor what is being released now, because the loop may not have another turn."""
        self.close()
        for released in list(self._released):
            self._released.discard(released)
            try:
                self._give_back_threadsafe(released.returned)
            except MailboxClosed:
                released.returned.close()

    def on_response_complete(self, connection: Connection, busy_until: float) -> None:
        """A response is complete, while there is credit: release its connection if nothing comes in two turns.

        One that is busy, since it was wanted again as soon as it had been released, goes only to even out the load.
        """
        if busy_until > self._deadlines.now and not self._releases_busy:
            return
        if not self._completed:
            # A turn later what was held of the responses has been written.
            self._loop.call_soon(self._loop.call_soon, self._release_completed)
        self._completed.append(connection)

    def _release_completed(self) -> None:
        completed, self._completed = self._completed, []
        self._completed_at = time.monotonic()
        for connection in completed:
            if self.credit > 0 and connection.release():
                self.credit -= 1
        self._completed_at = None

    def on_new_connection(self, connection: Connection) -> None:
        """A new connection is about to be open."""
        if len(self._registry.connections) >= CROWDED_CONNECTIONS:
            if not self._new_connections:
                self._loop.call_later(NEW_CONNECTION_SECONDS, self._release_new)
            self._new_connections.append(connection)

    def _release_new(self) -> None:
        new_connections, self._new_connections = self._new_connections, []
        self.release_all(new_connections)

    def release_long_idle(self) -> None:
        """Release the connections that have been idle for long. Called at every tick."""
        deadlines = self._deadlines
        self.release_all(self._registry.take_idle(deadlines.now, deadlines.release, MAX_RELEASED_PER_TICK))

    def release_idle(self) -> None:
        """Release all connections that are idle."""
        self.release_all(list(self._registry.connections))

    def release_all(self, connections: Sequence[Connection]) -> None:
        """Release those of the connections that are idle, a few in each turn of the loop."""
        for connection in connections[:RELEASED_PER_TURN]:
            # It may have gone, or become one of another protocol.
            if connection in self._registry.connections:
                connection.release()
        if len(connections) > RELEASED_PER_TURN:
            self._loop.call_soon(self.release_all, connections[RELEASED_PER_TURN:])

    def release(self, transport: asyncio.Transport, peer: Peer, deadline: float, speaks_http1: bool) -> bool:
        """Release the idle connection of a transport; return whether that has begun.

        Nobody reads from it from then on until the acceptor has handed it to a loop. The acceptor gets it when the
        transport has closed its own descriptor: while one is open, closing the other would not end the connection.
        """
        if self._is_closed or transport.is_closing() or transport.get_write_buffer_size():
            return False
        try:
            returned = make_returned_socket(transport, peer)
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
        """A transport is closed, and the acceptor is to have its connection now."""
        if released in self._released:
            self._released.discard(released)
            try:
                self._give_back_threadsafe(released.returned)
            except MailboxClosed:
                self.serve_again(released.returned)
        self._registry.on_opened(released)


def make_returned_socket(transport: asyncio.Transport, peer: Peer) -> ReturnedSocket:
    """Return the connection of a transport, by a descriptor of its own. Raises `OSError`."""
    socket = transport.get_extra_info("socket")
    returned = ReturnedSocket(socket.family, socket.type, socket.proto, os.dup(socket.fileno()))
    returned.peername = peer.client
    returned.sockname = peer.server
    returned.is_busy = False
    return returned
