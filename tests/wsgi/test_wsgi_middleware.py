"""The middleware by itself: mounted in a framework, under another server, for what is no HTTP; and how it is chosen."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from support.embedded_server import Serve, servers
from support.error_log import ErrorLog
from support.raw_client import Connect, request
from support.waiting import DEADLINE, wait_until
from support.websocket_client import opening
from support.wsgi_apps import PLAIN, Closing, Environ, StartResponse, echo, hello, tell_environ, with_start

from threadserve.wsgi import WSGIMiddleware


@pytest.fixture
def serve(error_log: ErrorLog) -> Iterator[Serve]:
    """`serve(app, **settings)` starts threadserve on two loops."""
    with servers(threads=2) as start:
        yield start


@pytest.fixture
def middlewares() -> Iterator[Any]:
    """`middlewares(app, **settings)` makes middlewares that are stopped in the end."""
    made: list[WSGIMiddleware] = []

    def make(app: Any, **settings: Any) -> WSGIMiddleware:
        made.append(middleware := WSGIMiddleware(app, **{"threads": 2, **settings}))
        middleware.pool.start()
        return middleware

    yield make
    for middleware in made:
        assert middleware.stop(DEADLINE)


@pytest.mark.parametrize("interface", ["auto", "wsgi"])
def test_server_finds_out_the_interface(serve: Serve, connect: Connect, interface: str) -> None:
    client = connect(serve(hello, interface=interface))
    assert client.get("/found").body == b"/found"


def test_a_middleware_as_the_application_takes_no_websockets(serve: Serve, connect: Connect, middlewares: Any) -> None:
    client = connect(serve(middlewares(hello)))
    client.send(opening("/plain"))
    response = client.read_response()
    assert (response.status, response.body) == (200, b"/plain")


def test_one_instance_serves_all_loops(serve: Serve, connect: Connect) -> None:
    made: list[object] = []

    def factory() -> Any:
        made.append(None)
        return hello

    server = serve(factory, factory=True, interface="wsgi")
    assert [connect(server).get("/").status for _ in range(6)] == [200] * 6
    assert len(made) == 1


def test_mounted_in_starlette(serve: Serve, connect: Connect, middlewares: Any) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    app = Starlette(routes=[Mount("/old", app=middlewares(tell_environ))])
    response = httpx.get(f"{serve(app).url}/old/page?x=1", timeout=DEADLINE).json()
    assert (response["SCRIPT_NAME"], response["PATH_INFO"], response["QUERY_STRING"]) == ("/old", "/page", "x=1")


def ask(app: Any, scope: dict[str, Any], *received: dict[str, Any]) -> list[Any]:
    """What an application sends for a request, to a server of the test's own."""
    coming = iter(received)
    sent: list[Any] = []

    async def receive() -> Any:
        return next(coming)

    async def send(message: Any) -> None:
        sent.append(message)

    request = {"type": "http", "method": "GET", "path": "/", "http_version": "1.1", "query_string": b"", "headers": []}
    asyncio.run(app({**request, **scope}, receive, send))
    return sent


WHOLE = {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.parametrize(
    ("root_path", "path", "script_name", "path_info"),
    [
        ("/v1", "/v1/env", "/v1", "/env"),
        ("/v1", "/v1/v1/env", "/v1", "/v1/env"),
        ("/v1", "/v1", "/v1", ""),
        ("/caf\xe9", "/caf\xe9/caf\xe9/env", "/caf\xc3\xa9", "/caf\xc3\xa9/env"),
    ],
)
def test_what_a_mount_leaves_of_the_path_is_not_looked_at_again(
    middlewares: Any, root_path: str, path: str, script_name: str, path_info: str
) -> None:
    raw_path = quote(path).encode()
    scope = {"root_path": root_path, "path": path, "raw_path": raw_path}
    environ = json.loads(ask(middlewares(tell_environ), scope, WHOLE)[1]["body"])
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)
    assert environ["REQUEST_URI"] == raw_path.decode()


def test_whole_response_has_its_length(middlewares: Any) -> None:
    start, body = ask(middlewares(hello), {"path": "/found"}, WHOLE)
    assert dict(start["headers"])[b"content-length"] == b"6"
    assert body == {"type": "http.response.body", "body": b"/found", "more_body": False}
    assert b"content-length" not in dict(
        ask(middlewares(with_start("304 Not Modified", PLAIN)), {}, WHOLE)[0]["headers"]
    )


def test_client_that_goes_before_its_body_is_there(middlewares: Any) -> None:
    part = {"type": "http.request", "body": b"x", "more_body": True}
    scope = {"method": "POST", "headers": [(b"content-length", b"10")]}
    assert ask(middlewares(hello), scope, part, {"type": "http.disconnect"}) == []


def test_lifespan_is_not_there(middlewares: Any) -> None:
    async def never() -> Any:
        raise AssertionError

    async def main() -> None:
        with pytest.raises(ValueError, match="no 'lifespan'"):
            await middlewares(hello)({"type": "lifespan"}, never, never)

    asyncio.run(main())


def test_websocket_is_refused(middlewares: Any) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(middlewares(hello)({"type": "websocket", "path": "/"}, receive, send))
    assert sent == [{"type": "websocket.close"}]


class UvicornServer:
    """Uvicorn on a thread, for as long as a test needs it."""

    def __init__(self, app: Any) -> None:
        import uvicorn

        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> "UvicornServer":
        self.thread.start()
        wait_until(lambda: self.server.started, "Uvicorn to start")
        self.host, self.port = self.server.servers[0].sockets[0].getsockname()
        self.url = f"http://{self.host}:{self.port}"
        return self

    def __exit__(self, *failure: object) -> None:
        self.server.should_exit = True
        self.thread.join(DEADLINE)


def test_under_uvicorn(middlewares: Any) -> None:
    pytest.importorskip("uvicorn")

    def app(environ: Environ, start_response: StartResponse) -> Any:
        return {"/echo": echo, "/environ": tell_environ}.get(environ["PATH_INFO"], hello)(environ, start_response)

    with UvicornServer(middlewares(app)) as server, httpx.Client(base_url=server.url, timeout=DEADLINE) as client:
        assert client.get("/a%20b").text == "/a b"
        assert client.get("/environ").json()["REMOTE_ADDR"] == "127.0.0.1"
        body = b"x" * 9_000_000
        assert client.post("/echo", content=body).content == body


def test_client_that_goes_is_noticed_under_uvicorn(middlewares: Any, connect: Connect) -> None:
    pytest.importorskip("uvicorn")
    closed = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", PLAIN)
        return Closing(iter(lambda: b"x" * 1000, None), closed.set)

    with UvicornServer(middlewares(app)) as server:
        client = connect(server)
        client.send(request())
        assert client.reader.head().status == 200
        client.reset()
        assert closed.wait(DEADLINE)
