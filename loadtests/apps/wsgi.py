"""WSGI applications: the same few bytes at once or after about 0.2 ms of pure Python, and large bodies in pieces."""

from collections.abc import Callable, Iterable
from typing import Any

from loadtests.apps import catalogue
from loadtests.apps.cpu_bound import TURNS, work
from loadtests.apps.hello import BODY

HEADERS = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(BODY)))]


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", HEADERS)
    return [BODY]


def cpu_bound(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    work(TURNS)
    return hello(environ, start_response)


def streaming(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a POST with the size of its body, `/down?BYTES` with that many bytes, and everything else with a hello."""
    if environ["REQUEST_METHOD"] == "POST":
        size = sum(map(len, iter(lambda: environ["wsgi.input"].read(65536), b"")))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(size).encode()]
    if environ["PATH_INFO"] == "/down":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return catalogue.pieces(int(environ["QUERY_STRING"]))
    return hello(environ, start_response)
