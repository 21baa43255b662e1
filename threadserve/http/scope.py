"""The connection scope of a request (ASGI HTTP spec 2.3, "HTTP Connection Scope"), which shares nothing mutable.

Runs on the connection's loop thread; keeps nothing.
"""

from typing import Any
from urllib.parse import unquote

from threadserve.http.loop_state import LoopState
from threadserve.http.parsers import Parser
from threadserve.http.peer import Peer
from threadserve.http.refusal import bad_request
from threadserve.http.rules import check_host
from threadserve.types import Headers


def build_scope(state: LoopState, parser: Parser, http_version: str, peer: Peer) -> dict[str, Any]:
    """The scope of the request that the parser has read. Raises `Refusal` where its target names no good host."""
    target, headers = parser.target, parser.headers
    if not target.startswith(b"/") and target != b"*":
        target, headers = split_absolute(target, headers)
    raw_path, _, query = target.partition(b"?")
    path = raw_path.decode("ascii")
    if "%" in path:
        path = unquote(path)
    extensions: dict[str, Any] = {"http.response.trailers": {}, "http.response.early_hint": {}}
    if state.pathsend:
        extensions["http.response.pathsend"] = {}
    if peer.tls is not None:
        extensions["tls"] = {**peer.tls, "client_cert_chain": peer.tls["client_cert_chain"].copy()}
    return {
        "type": "http",
        # Told 2.4, frameworks wait for `send` to say that the client has gone, which a stream that waits never learns.
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": http_version,
        "server": peer.server,
        "client": peer.client,
        "scheme": peer.scheme,
        "method": parser.method,
        "root_path": state.root_path,
        "path": state.root_path + path,
        "raw_path": state.root_path_bytes + raw_path,
        "query_string": query,
        "headers": headers,
        "state": state.lifespan_state.copy(),
        "extensions": extensions,
    }


def target_of(scope: dict[str, Any]) -> str:
    """The target of a scope's request, as a log shows it."""
    target: str = scope["raw_path"].decode("ascii", "backslashreplace")
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("ascii", "backslashreplace")
    return target


def split_absolute(target: bytes, headers: Headers) -> tuple[bytes, Headers]:
    """The origin-form of an absolute-form target, and the headers with the target's host (RFC 9112 section 3.2.2)."""
    rest = target.partition(b"://")[2]
    end = min((position for position in map(rest.find, (b"/", b"?")) if position >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    if not authority:
        raise bad_request("no host in the request target")
    check_host([authority], is_http11=True)
    others = [field for field in headers if field[0] != b"host"]
    return path if path.startswith(b"/") else b"/" + path, [(b"host", authority), *others]
