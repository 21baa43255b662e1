"""The start of a WebSocket, for an exchange whose request asks for one.

Runs on the connection's loop thread. It keeps only the loop's settings.
"""

from threadserve.config import Config
from threadserve.http.context import BeginWebSocket, LoopContext
from threadserve.http.exchange import Exchange
from threadserve.http.runner import StartCall
from threadserve.websocket.handshake import parse_handshake
from threadserve.websocket.session import WebSocketSession
from threadserve.websocket.settings import make_session_settings


def make_websocket_starter(config: Config, context: LoopContext, start_call: StartCall) -> BeginWebSocket | None:
    """Return the function that starts WebSockets, or None where none are served. Raises `ConfigError`."""
    if config.ws == "none":
        return None
    settings = make_session_settings(config)

    def start(exchange: Exchange) -> None:
        """Call the application for a WebSocket. Raises `HTTPError` if the handshake is not valid by RFC 6455."""
        handshake = parse_handshake(exchange.scope["headers"], is_upgrade=exchange.head.method == "GET")
        session = WebSocketSession(exchange, context, handshake, settings)
        exchange.listener = session
        exchange.is_logged = False
        # A message tells the application that its client has gone.
        exchange.disconnect_listeners += 1
        start_call(session, session.send)

    return start
