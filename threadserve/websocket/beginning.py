"""How a connection goes on as a WebSocket.

Runs on the connection's loop thread, for one loop; keeps nothing but what takes off masks.
"""

import asyncio
from typing import Any

from threadserve.config import Config
from threadserve.http.loop_state import BeginWebSocket, LoopState
from threadserve.websocket.connection import WebSocketConnection
from threadserve.websocket.handshake import read_handshake
from threadserve.websocket.masking import unmasker


def websocket_beginner(config: Config, state: LoopState) -> BeginWebSocket | None:
    """What hands connections over to WebSockets, or None where none are served. Raises `ConfigError`."""
    if config.ws == "none":
        return None
    unmask = unmasker(config.ws)

    def begin(transport: asyncio.Transport, scope: dict[str, Any], rest: bytes) -> WebSocketConnection:
        handshake = read_handshake(scope["headers"])
        connection = WebSocketConnection(state, transport, unmask)
        transport.set_protocol(connection)
        connection.take_over(scope, handshake, rest)
        return connection

    return begin
