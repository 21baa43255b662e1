"""Sockets of connections that no loop has open: accepted ones, and idle ones that a loop has returned.

An object belongs to the thread that has it, and is handed over with the connection.
"""

import os
import socket
from typing import ClassVar

from threadserve.types import Address, LocalAddress


class AcceptedSocket(socket.socket):
    """An accepted connection, without any option set.

    `peername` is its client's address and `sockname` the server's, or None where accepting does not tell that one.
    `accepted_at` is in the seconds of `time.monotonic`.
    """

    __slots__ = ("accepted_at", "peername", "sockname")

    # Those of the C type. A Python frame and an enum's member for each access would cost a third of what opening the
    # connection does.
    family = socket.SocketType.family  # type: ignore[assignment]
    type = socket.SocketType.type  # type: ignore[assignment]
    detach = socket.SocketType.detach

    # The attributes that a duplicate has too.
    COPIED_ATTRIBUTES: ClassVar[tuple[str, ...]] = ("accepted_at", "peername", "sockname")

    accepted_at: float
    peername: object
    sockname: object

    def dup(self) -> "AcceptedSocket":
        """Return the same connection with another descriptor. Raises `OSError`."""
        duplicate = type(self)(self.family, self.type, self.proto, os.dup(self.fileno()))
        for name in self.COPIED_ATTRIBUTES:
            setattr(duplicate, name, getattr(self, name))
        return duplicate


class ReturnedSocket(AcceptedSocket):
    """An idle connection that its loop has returned to the acceptor.

    `peername` and `sockname` are the addresses that its requests have, and `speaks_http1` says whether there were some.
    It has time for the next one until `deadline`, and was in use until `since`, in the seconds of `time.monotonic`;
    without that, until long before. `is_busy` says that the next request came at once.
    """

    __slots__ = ("deadline", "is_busy", "since", "speaks_http1")

    # The time of acceptance is of no use any more.
    COPIED_ATTRIBUTES = ("peername", "sockname", *__slots__)

    peername: Address | None
    sockname: LocalAddress | None
    speaks_http1: bool
    deadline: float
    since: float | None
    is_busy: bool
