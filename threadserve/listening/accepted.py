"""The sockets of connections that no loop has open: those that were accepted, and those that a loop gave back.

An object belongs to the thread that has it: it is handed on with the connection.
"""

import os
import socket
from typing import ClassVar

from threadserve.types import Address, LocalAddress


class Accepted(socket.socket):
    """A connection that was accepted, and that nothing has been set on.

    `peername` is its client's address and `sockname` the server's, or None where accepting does not tell that one. It
    was accepted at `accepted_at`, in the seconds of `time.monotonic`.
    """

    __slots__ = ("accepted_at", "peername", "sockname")

    # Those of the C type. A frame of Python's and an enum's member for each look, or for the end, would together cost
    # a third of what opening the connection does.
    family = socket.SocketType.family  # type: ignore[assignment]
    type = socket.SocketType.type  # type: ignore[assignment]
    detach = socket.SocketType.detach

    # What is known of it, without being asked of the system.
    TOLD: ClassVar[tuple[str, ...]] = ("accepted_at", "peername", "sockname")

    accepted_at: float
    peername: object
    sockname: object

    def dup(self) -> "Accepted":
        """The same connection by another descriptor. Raises `OSError`."""
        again = type(self)(self.family, self.type, self.proto, os.dup(self.fileno()))
        for name in self.TOLD:
            setattr(again, name, getattr(self, name))
        return again


class Returned(Accepted):
    """A connection that was idle on its loop, which has given it back.

    `peername` and `sockname` are the addresses that its requests have, and `speaks_http1` says whether there were some.
    It has time for the next one until `deadline`, and was in use until `since`, in the seconds of `time.monotonic`;
    without that, until long before. `is_busy` says that the next request came at once.
    """

    __slots__ = ("deadline", "is_busy", "since", "speaks_http1")

    # When it was accepted is past interest.
    TOLD = ("peername", "sockname", *__slots__)

    peername: Address | None
    sockname: LocalAddress | None
    speaks_http1: bool
    deadline: float
    since: float | None
    is_busy: bool
