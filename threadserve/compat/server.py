"""The part of Uvicorn's `Server` that this server does not need itself.

Runs on whichever thread asks. It owns nothing: the sockets are those of the run that serves.
"""

import socket
from typing import NamedTuple, Protocol


class BoundSockets(NamedTuple):
    """The listening sockets, as `asyncio.Server` has them."""

    sockets: tuple[socket.socket, ...]


class ListenerOwner(Protocol):
    """The run of a server, which has its listeners."""

    listeners: list[socket.socket]


class UvicornServer:
    """The attributes that `Server` has for programs alone. `lifespan` is theirs to set, and is not used."""

    lifespan: object = None
    _server_run: ListenerOwner | None

    @property
    def servers(self) -> list[BoundSockets]:
        """An object with `sockets` for each listener, where programs find the server's address."""
        return [BoundSockets((listener,)) for listener in self._server_run.listeners] if self._server_run else []
