"""Pieces of WSGI applications."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from support.raw_client import RawClient, chunked, request
from support.responses import Response
from support.waiting import DEADLINE, wait_until

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]
PLAIN = [("Content-Type", "text/plain")]


def hello(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answers with the path, and reads nothing."""
    start_response("200 OK", PLAIN)
    return [environ["PATH_INFO"].encode("latin-1")]


def tell_environ(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answers with JSON of every text and truth in the environ."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({key: value for key, value in environ.items() if isinstance(value, (str, bool))}).encode()]


def echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answers with the body."""
    start_response("200 OK", PLAIN)
    return [environ["wsgi.input"].read()]


class Closing:
    """A result that notes when it is closed."""

    def __init__(self, pieces: Iterable[bytes], on_close: Callable[[], object]) -> None:
        self._pieces = pieces
        self._on_close = on_close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        """Called by the server."""
        self._on_close()


class Pieces:
    """A result that is no list, and can be had again."""

    def __init__(self, pieces: Iterable[Any]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[Any]:
        return iter(self._pieces)


def with_start(status: Any, headers: Any, result: Any = (b"x",)) -> Callable[..., Any]:
    """An application that gives `start_response` this."""

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response(status, headers)
        return result

    return app


class Held:
    """An application whose calls to /held wait until they are let go; it counts those that have come."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.arrived = 0
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == "/held":
            with self._lock:
                self.arrived += 1
            assert self.release.wait(2 * DEADLINE)
        return hello(environ, start_response)

    def wait_for(self, count: int) -> None:
        """Waits until so many calls have come."""
        wait_until(lambda: self.arrived >= count, f"{count} calls, of which {self.arrived} came")


def upload(client: RawClient, path: str, size: int, *, is_chunked: bool, expects: bool) -> Response:
    """Posts so many bytes, once the server asks for them if it `expects` that, and returns the response."""
    data = b"x" * size
    fields = ["Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size}"]
    client.send(request("POST", path, *fields, *(["Expect: 100-continue"] if expects else [])))
    if expects:
        assert client.reader.head().status == 100
    client.send(chunked(data[: size // 3], data[size // 3 :]) if is_chunked else data)
    return client.read_response("POST")
