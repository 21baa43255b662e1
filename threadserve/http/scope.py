"""The connection scope of a request (ASGI HTTP spec 2.3, "HTTP Connection Scope"), which shares nothing mutable.

Runs on the connection's loop thread. A `ScopeBuilder` belongs to one loop, and owns its copies of the settings that
scopes contain.
"""

import sys
from urllib.parse import unquote

from threadserve.config import Config
from threadserve.http.head import RequestHead
from threadserve.http.peer import Peer
from threadserve.types import ConnectionScope, Extensions, LifespanState

# Interned, as the versions of HTTP in `head` are.
ASGI_VERSION = sys.intern("3.0")
# Told 2.4, frameworks wait for `send` to say that the client has gone, which a stream that waits never learns.
SPEC_VERSION = sys.intern("2.3")
CANCEL_ON_DISCONNECT = sys.intern("threadserve.cancel_on_disconnect")
EARLY_HINT_EXTENSION = sys.intern("http.response.early_hint")
PATHSEND_EXTENSION = sys.intern("http.response.pathsend")
TRAILERS_EXTENSION = sys.intern("http.response.trailers")


class ScopeBuilder:
    """Builds the scopes of one loop's requests. Belongs to the loop's thread."""

    __slots__ = ("_cancels_on_disconnect", "_lifespan_state", "_pathsend", "_root_path", "_root_path_bytes")

    def __init__(self, config: Config, lifespan_state: LifespanState) -> None:
        self._lifespan_state = lifespan_state
        self._cancels_on_disconnect = config.cancel_on_disconnect
        self._pathsend = config.pathsend
        self._root_path = sys.intern(config.root_path)
        self._root_path_bytes = config.root_path.encode()

    def build(self, head: RequestHead, peer: Peer) -> ConnectionScope:
        """Return the scope of the request with this head, whose target is in origin-form or in asterisk-form."""
        target = head.target
        raw_path, _, query = target.partition(b"?")
        path = raw_path.decode("ascii")
        if "%" in path:
            path = unquote(path)
        extensions: Extensions = {
            TRAILERS_EXTENSION: {},
            EARLY_HINT_EXTENSION: {},
            CANCEL_ON_DISCONNECT: {"default": self._cancels_on_disconnect},
        }
        if self._pathsend:
            extensions[PATHSEND_EXTENSION] = {}
        if peer.tls is not None:
            extensions["tls"] = {**peer.tls, "client_cert_chain": peer.tls["client_cert_chain"].copy()}
        return {
            "type": "http",
            "asgi": {"version": ASGI_VERSION, "spec_version": SPEC_VERSION},
            "http_version": head.version,
            "server": peer.server,
            "client": peer.client,
            "scheme": peer.scheme,
            "method": head.method,
            "root_path": self._root_path,
            "path": self._root_path + path,
            "raw_path": self._root_path_bytes + raw_path,
            "query_string": query,
            "headers": head.headers,
            "state": self._lifespan_state.copy(),
            "extensions": extensions,
        }


def format_request_path(scope: ConnectionScope) -> str:
    """Return the path of a scope's request for a log: without the query, which may have secrets."""
    path: str = scope["raw_path"].decode("ascii", "backslashreplace")
    return path


def format_request_target(scope: ConnectionScope) -> str:
    """Return the target of a scope's request for a log."""
    target = format_request_path(scope)
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("ascii", "backslashreplace")
    return target
