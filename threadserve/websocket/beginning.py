"""How an exchange whose request asks for a WebSocket goes on as one.

Runs on the connection's loop thread, for one loop; keeps nothing but the loop's settings.
"""

from threadserve.config import Config
from threadserve.http.context import BeginWebSocket, LoopContext
from threadserve.http.exchange import Exchange
from threadserve.websocket.handshake import read_handshake
from threadserve.websocket.session import WebSocketSession
from threadserve.websocket.settings import websocket_settings


def websocket_beginner(config: Config, context: LoopContext) -> BeginWebSocket | None:
    """What begins WebSockets, or None where none are served. Raises `ConfigError`."""
    if config.ws == "none":
        return None
    settings = websocket_settings(config)

    def begin(exchange: Exchange) -> None:
        """Has the application called for a WebSocket. Raises `HTTPError` where the handshake is not RFC 6455's."""
        handshake = read_handshake(exchange.scope["headers"], is_upgrade=exchange.head.method == "GET")
        session = WebSocketSession(exchange, context, handshake, settings)
        exchange.listener = session
        exchange.is_logged = False
        # It hears of its client by a message.
        exchange.disconnect_listeners += 1
        context.call_app(session)

    return begin
