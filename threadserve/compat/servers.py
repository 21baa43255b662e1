"""The form in which programs written for Uvicorn find a server's listening sockets."""

import socket
from typing import NamedTuple


class BoundSockets(NamedTuple):
    """The listening sockets of a server, as `asyncio.Server` has them."""

    sockets: tuple[socket.socket, ...]
