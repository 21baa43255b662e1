"""A WSGI application that takes and gives large bodies piece by piece.

A POST is read and answered with its size; `/down?BYTES` gives that many bytes; every other path says hello.
"""

from collections.abc import Callable, Iterable
from typing import Any

from loadtests.apps import catalogue, wsgi


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["REQUEST_METHOD"] == "POST":
        size = sum(map(len, iter(lambda: environ["wsgi.input"].read(65536), b"")))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(size).encode()]
    if environ["PATH_INFO"] == "/down":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return catalogue.pieces(int(environ["QUERY_STRING"]))
    return wsgi.hello(environ, start_response)
