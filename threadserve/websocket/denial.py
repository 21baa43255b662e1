"""The HTTP response to a handshake that the application turns down.

Belongs to the WebSocket's exchange, on the connection's loop thread. It owns nothing beyond the response.
"""

from typing import Any

from threadserve.http.loop_state import LoopState
from threadserve.http.outlet import Outlet
from threadserve.http.response_side import ResponseSide
from threadserve.types import Message


class Denial(ResponseSide):
    """One response, after which the connection ends (ASGI extension `websocket.http.response`)."""

    def __init__(self, outlet: Outlet, state: LoopState, scope: dict[str, Any]) -> None:
        self.outlet = outlet
        self.state = state
        self.scope = scope
        self.keep_alive = False

    async def send_event(self, message: Message) -> None:
        """Takes a `websocket.http.response.*` message. Raises as `ResponseSide.send` does."""
        await self.send({**message, "type": message["type"].removeprefix("websocket.")})
