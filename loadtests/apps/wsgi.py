"""WSGI applications that answer with the same few bytes: at once, or after about 0.2 ms of pure Python."""

from collections.abc import Callable
from typing import Any

from loadtests.apps.cpu_bound import TURNS, work
from loadtests.apps.hello import BODY

HEADERS = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(BODY)))]


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", HEADERS)
    return [BODY]


def cpu_bound(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    work(TURNS)
    return hello(environ, start_response)
