"""The environ of a WSGI call, made of a connection scope (PEP 3333, "environ Variables").

Runs on the pool thread that makes the call. Each pool thread owns an `EnvironBuilder`, so that threads do not contend
for its cache of header names. It keeps nothing of a request.
"""

import os
import sys
from collections.abc import Sequence
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from threadserve.types import ConnectionScope, Environ, Headers
from threadserve.wsgi.file_wrapper import FileWrapper

MAX_CACHED_KEYS = 256
MAX_CACHED_NAME_BYTES = 64
# Keys that a scope may lack (ASGI HTTP spec 2.5).
OPTIONAL_SCOPE = {"scheme": "http", "root_path": "", "raw_path": None, "client": None, "server": None}
DEFAULT_SERVER_PORTS = {"http": "80", "https": "443"}


class EnvironBuilder:
    """Builds environs. `is_multiprocess` says whether other processes serve the same application.

    The application is mounted below the scope's root path, or else below `$SCRIPT_NAME` as under Gunicorn, whether or
    not the proxy in front strips that prefix from the target.
    """

    __slots__ = ("_base", "_keys", "_script_name")

    def __init__(self, is_multiprocess: bool) -> None:
        self._base: Environ = {
            "SERVER_SOFTWARE": "threadserve",
            "wsgi.version": (1, 0),
            "wsgi.multithread": True,
            "wsgi.multiprocess": is_multiprocess,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "wsgi.file_wrapper": FileWrapper,
        }
        self._keys: dict[bytes, str] = {}
        self._script_name = os.environ.get("SCRIPT_NAME", "")

    def build(self, scope: ConnectionScope, body: BinaryIO, length: int | None, adds_root_path: bool) -> Environ:
        """Return the environ of one request, whose scope is complete.

        `length` is the size of a body that has arrived as a whole, for applications that read no body without a
        Content-Length; else it is None. With `adds_root_path` the scope's path is the root path followed by the
        target's path.

        The scope is not read with `get`, which takes microseconds in free-threaded 3.13 for a dict made by another
        thread.
        """
        environ = self._base.copy()
        environ["REQUEST_METHOD"] = scope["method"]
        raw_path: bytes = scope["raw_path"] or scope["path"].encode()
        query = scope["query_string"].decode("latin-1")
        environ["SCRIPT_NAME"] = ""
        environ["PATH_INFO"] = target = raw_path.decode("latin-1")
        environ["QUERY_STRING"] = query
        environ["REQUEST_URI"] = environ["RAW_URI"] = f"{target}?{query}" if query else target
        version = scope["http_version"]
        environ["SERVER_PROTOCOL"] = "HTTP/" + (version if "." in version else version + ".0")
        environ["wsgi.url_scheme"] = scheme = scope["scheme"]
        environ["wsgi.input"] = body
        environ["wsgi.errors"] = sys.stderr
        if scope["root_path"] or self._script_name or "%" in target:
            self._split_path(environ, scope, adds_root_path)
        if scheme == "https":
            environ["HTTPS"] = "on"
        self._add_addresses(environ, scope)
        self._add_headers(environ, scope["headers"])
        if length is not None and (environ.pop("HTTP_TRANSFER_ENCODING", None) or length):
            environ["CONTENT_LENGTH"] = str(length)
        return environ

    def _split_path(self, environ: Environ, scope: ConnectionScope, adds_root_path: bool) -> None:
        """Set SCRIPT_NAME and PATH_INFO: bytes as Latin-1 text (PEP 3333, "Unicode Issues")."""
        root = scope["root_path"]
        raw_path = scope["raw_path"]
        path = (scope["path"].encode() if raw_path is None else unquote_to_bytes(raw_path)).decode("latin-1")
        script_name = (root or self._script_name).rstrip("/").encode().decode("latin-1")
        path = strip_prefix(script_name, path)
        if root.endswith("/") and path.startswith("//"):
            path = path[1:]
        if root and adds_root_path and (rest := strip_prefix(script_name, path)) != path:
            # The target has the prefix as well.
            path = rest
            target = environ["REQUEST_URI"][len(root.encode()) :]
            environ["REQUEST_URI"] = environ["RAW_URI"] = target
        environ["SCRIPT_NAME"] = script_name
        environ["PATH_INFO"] = path

    def _add_addresses(self, environ: Environ, scope: ConnectionScope) -> None:
        server, client = scope["server"], scope["client"]
        if server is not None and server[1] is not None:
            environ["SERVER_NAME"] = server[0]
            environ["SERVER_PORT"] = str(server[1])
        else:
            # A Unix socket has neither, and WSGI requires both.
            environ["SERVER_NAME"] = "localhost"
            environ["SERVER_PORT"] = DEFAULT_SERVER_PORTS.get(scope["scheme"], "")
        if client is not None:
            environ["REMOTE_ADDR"] = client[0]
            environ["REMOTE_PORT"] = str(client[1])
        else:
            environ["REMOTE_ADDR"] = ""

    def _add_headers(self, environ: Environ, headers: Headers) -> None:
        keys = self._keys
        for name, value in headers:
            key = keys.get(name)
            if key is None:
                key = self._header_key(name)
            if not key:
                continue
            text = value.decode("latin-1")
            if key in environ:
                text = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + text
            environ[key] = text

    def _header_key(self, name: bytes) -> str:
        """Return the environ key of a header; "" for a name with an underscore, which would forge one with a hyphen."""
        key = "" if b"_" in name else name.decode("latin-1").upper().replace("-", "_")
        if key and key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        if len(self._keys) >= MAX_CACHED_KEYS:
            self._keys.clear()
        # A copy that this thread owns: on free-threaded builds, looking up another thread's bytes takes a lock. The key
        # is not interned, for interned text is never freed there, and clients choose the names.
        if len(name) <= MAX_CACHED_NAME_BYTES:
            self._keys[bytes(bytearray(name))] = key
        return key


def strip_prefix(prefix: str, path: str) -> str:
    """Return the part of `path` below `prefix`, or all of it where it is not below."""
    return path[len(prefix) :] if path == prefix or path.startswith(prefix + "/") else path


def environ_values_of(names: Sequence[str], environ: Environ) -> tuple[bytes | None, ...]:
    """Return the values of the named variables, in any case; None for one that is missing."""
    spellings = [(name, name.upper(), name.lower()) for name in names]
    keys = [next((each for each in spelling if each in environ), None) for spelling in spellings]
    return tuple([None if key is None else encode_variable(environ[key]) for key in keys])


def encode_variable(value: object) -> bytes | None:
    """Return a value of the application's as text, or None where it has none, like a Werkzeug proxy without request."""
    try:
        return str(value).encode("latin-1", "backslashreplace")
    except Exception:
        return None
