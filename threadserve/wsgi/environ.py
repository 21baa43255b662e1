"""From a connection scope to the environ of WSGI (PEP 3333, "environ Variables").

Runs on the pool thread that makes the call. An `EnvironMaker` belongs to one pool thread, for what it has learnt about
header names would otherwise be contended for; it keeps nothing of a request.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

from threadserve.types import Headers
from threadserve.wsgi.file_wrapper import FileWrapper

KNOWN_LIMIT = 256
KNOWN_LENGTH = 64
# What a scope may lack (ASGI HTTP spec 2.5).
OPTIONAL = {"scheme": "http", "root_path": "", "raw_path": None, "client": None, "server": None}
DEFAULT_PORTS = {"http": "80", "https": "443"}


class EnvironMaker:
    """Makes environs. `is_multiprocess` says whether other processes serve the same application.

    An application is mounted below the scope's root path, or else below `$SCRIPT_NAME`, as under Gunicorn, whether the
    proxy before us has taken that prefix off the target or has left it on.
    """

    __slots__ = ("_base", "_keys", "_mount")

    def __init__(self, is_multiprocess: bool) -> None:
        self._base: dict[str, Any] = {
            "SERVER_SOFTWARE": "threadserve",
            "wsgi.version": (1, 0),
            "wsgi.multithread": True,
            "wsgi.multiprocess": is_multiprocess,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "wsgi.file_wrapper": FileWrapper,
        }
        self._keys: dict[bytes, str] = {}
        self._mount = os.environ.get("SCRIPT_NAME", "")

    def make(self, scope: dict[str, Any], body: BinaryIO, length: int | None, adds_root_path: bool) -> dict[str, Any]:
        """The environ of one request, whose scope is complete; with `adds_root_path` its path is that and the target.

        Nothing of the scope is read with `get`, which takes microseconds in free-threaded 3.13 where another thread has
        made what it reads.

        `length` is that of a body which is there as a whole, for applications that read no other than one with a
        Content-Length; else it is None.
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
        if scope["root_path"] or self._mount or "%" in target:
            self._split_path(environ, scope, adds_root_path)
        if scheme == "https":
            environ["HTTPS"] = "on"
        self._add_addresses(environ, scope)
        self._add_headers(environ, scope["headers"])
        if length is not None and (environ.pop("HTTP_TRANSFER_ENCODING", None) or length):
            environ["CONTENT_LENGTH"] = str(length)
        return environ

    def _split_path(self, environ: dict[str, Any], scope: dict[str, Any], adds_root_path: bool) -> None:
        """SCRIPT_NAME and PATH_INFO: bytes as latin-1 text (PEP 3333, "Unicode Issues")."""
        root = scope["root_path"]
        raw_path = scope["raw_path"]
        path = (scope["path"].encode() if raw_path is None else unquote_to_bytes(raw_path)).decode("latin-1")
        mount = (root or self._mount).rstrip("/").encode().decode("latin-1")
        path = below(mount, path)
        if root.endswith("/") and path.startswith("//"):
            path = path[1:]
        if root and adds_root_path and (rest := below(mount, path)) != path:
            # The target has the prefix as well.
            path = rest
            target = environ["REQUEST_URI"][len(root.encode()) :]
            environ["REQUEST_URI"] = environ["RAW_URI"] = target
        environ["SCRIPT_NAME"] = mount
        environ["PATH_INFO"] = path

    def _add_addresses(self, environ: dict[str, Any], scope: dict[str, Any]) -> None:
        server, client = scope["server"], scope["client"]
        if server is not None and server[1] is not None:
            environ["SERVER_NAME"] = server[0]
            environ["SERVER_PORT"] = str(server[1])
        else:
            # A Unix socket has neither, and both must be there.
            environ["SERVER_NAME"] = "localhost"
            environ["SERVER_PORT"] = DEFAULT_PORTS.get(scope["scheme"], "")
        if client is not None:
            environ["REMOTE_ADDR"] = client[0]
            environ["REMOTE_PORT"] = str(client[1])
        else:
            environ["REMOTE_ADDR"] = ""

    def _add_headers(self, environ: dict[str, Any], headers: Headers) -> None:
        keys = self._keys
        for name, value in headers:
            key = keys.get(name)
            if key is None:
                key = self._learn(name)
            if not key:
                continue
            text = value.decode("latin-1")
            if key in environ:
                text = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + text
            environ[key] = text

    def _learn(self, name: bytes) -> str:
        """The key of a header; none where its name has an underscore, which would forge the one with a hyphen."""
        key = "" if b"_" in name else name.decode("latin-1").upper().replace("-", "_")
        if key and key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        if len(self._keys) >= KNOWN_LIMIT:
            self._keys.clear()
        # Bytes of this thread's own: on free-threaded builds, looking up those of another thread takes a lock. And no
        # interned text, which is never freed there, whatever names clients think of.
        if len(name) <= KNOWN_LENGTH:
            self._keys[bytes(bytearray(name))] = key
        return key


def below(mount: str, path: str) -> str:
    """What is left of a path below this one, or all of it."""
    return path[len(mount) :] if path == mount or path.startswith(mount + "/") else path


def values_of(names: Sequence[str], environ: dict[str, Any]) -> tuple[bytes | None, ...]:
    """The values of variables by these names, in any case; None for one that is not there."""
    spellings = [(name, name.upper(), name.lower()) for name in names]
    keys = [next((each for each in spelling if each in environ), None) for spelling in spellings]
    return tuple([None if key is None else text_of(environ[key]) for key in keys])


def text_of(value: Any) -> bytes | None:
    """A value of the application's as text; None where it has none, as a proxy of Werkzeug's outside its request."""
    try:
        return str(value).encode("latin-1", "backslashreplace")
    except Exception:
        return None
