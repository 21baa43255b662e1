"""The connection scope of a WebSocket (ASGI WebSocket spec 2.4, "WebSocket Connection Scope").

Runs on the connection's loop thread. Keeps no state.
"""

from threadserve.types import ConnectionScope, Extensions
from threadserve.websocket.handshake import Handshake

WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}


def websocket_scope(scope: ConnectionScope, handshake: Handshake) -> ConnectionScope:
    """Turn a request's scope into that of the WebSocket which it asks for, in place, and return it."""
    scope["type"] = "websocket"
    scope["asgi"]["spec_version"] = "2.4"
    scope["scheme"] = WEBSOCKET_SCHEMES[scope["scheme"]]
    scope["subprotocols"] = handshake.subprotocols.copy()
    extensions: Extensions = {"websocket.http.response": {}}
    if "tls" in scope["extensions"]:
        extensions["tls"] = scope["extensions"]["tls"]
    scope["extensions"] = extensions
    del scope["method"]
    return scope
