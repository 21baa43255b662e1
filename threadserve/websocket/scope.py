"""The connection scope of a WebSocket (ASGI WebSocket spec 2.4, "WebSocket Connection Scope").

Runs on the connection's loop thread; keeps nothing.
"""

from typing import Any

from threadserve.websocket.handshake import Handshake

SCHEMES = {"http": "ws", "https": "wss"}


def websocket_scope(scope: dict[str, Any], handshake: Handshake) -> dict[str, Any]:
    """Makes the scope of a request that of the WebSocket which it asks for, in place."""
    scope["type"] = "websocket"
    scope["asgi"]["spec_version"] = "2.4"
    scope["scheme"] = SCHEMES[scope["scheme"]]
    scope["subprotocols"] = handshake.subprotocols.copy()
    extensions: dict[str, Any] = {"websocket.http.response": {}}
    if "tls" in scope["extensions"]:
        extensions["tls"] = scope["extensions"]["tls"]
    scope["extensions"] = extensions
    del scope["method"]
    return scope
