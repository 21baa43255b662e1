"""Frameworks and wrappers that people put on a server: right answers, and nothing in the log but requests."""

import hashlib
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from support.server_process import ServerProcess
from support.sites import APPS, UNWATCHED, assert_quiet, need, new_client
from support.waiting import DEADLINE, wait_until
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

# Without the newline, which `print` writes apart: a line of the access log may come between the two.
ENDED = "the stream has ended"
DATA = bytes(range(256)) * 1000
STYLE = APPS / "static" / "style.css"
RPC_FIELDS = {"accept": "application/json, text/event-stream"}


@dataclass(frozen=True)
class Wrapper:
    """A site, the package that it needs, and what of the common scenario there is nothing for in it.

    What lacks "leaving" makes ASGI of WSGI, or the other way, and has an endless stream go on without its client.
    """

    app: str
    package: str
    lacks: frozenset[str] = field(default=frozenset())
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.app.removesuffix(":app").replace("middlewares:", "").replace(":", "-")


def middleware(name: str, package: str = "starlette") -> Wrapper:
    """The Starlette site in a middleware."""
    return Wrapper(f"middlewares:{name}", package, options=("--factory",))


WSGI = frozenset({"background", "websocket"})
WRAPPERS = [
    Wrapper("blacksheep_site:app", "blacksheep", frozenset({"background"})),
    Wrapper("falcon_site:app", "falcon"),
    Wrapper("falcon_wsgi_site:app", "falcon", WSGI, ("--interface", "wsgi")),
    Wrapper("flask_site:a2wsgi", "a2wsgi", WSGI | {"leaving"}),
    Wrapper("flask_site:asgiref", "a2wsgi", WSGI | {"leaving"}),
    Wrapper("litestar_site:app", "litestar"),
    Wrapper("ninja_site:app", "ninja", WSGI | {"static"}),
    middleware("base"),
    middleware("brotli", "brotli_asgi"),
    middleware("correlation_id", "asgi_correlation_id"),
    middleware("gzip"),
    middleware("opentelemetry", "opentelemetry.instrumentation.asgi"),
    middleware("prometheus", "prometheus_fastapi_instrumentator"),
    middleware("sentry", "sentry_sdk"),
    middleware("sentry_fastapi", "sentry_sdk"),
    Wrapper("flask_site:sentry", "sentry_sdk", WSGI, ("--factory", "--interface", "wsgi")),
    Wrapper("middlewares:a2wsgi", "a2wsgi", WSGI | {"leaving"}, ("--factory", "--interface", "wsgi")),
]


@contextmanager
def serving(app: str, folder: Path, *options: str) -> Iterator[ServerProcess]:
    """Serves an application, and stops it in order in the end without waiting for streams."""
    options = ("--app-dir", str(APPS), "--timeout-graceful-shutdown", "0", *UNWATCHED, *options)
    with ServerProcess(f"wrappers.{app}", *options, cwd=folder, env={"PYTHONUNBUFFERED": "1"}) as server:
        yield server
        assert server.stop(deadline=3 * DEADLINE) == 0, server.stderr
        assert "The GIL is on" not in server.stderr


def leave_stream(server: ServerProcess) -> None:
    """Takes the beginning of the stream, and goes; the application's generator ends."""
    before = server.stdout.count(ENDED)
    with httpx.stream("GET", f"{server.url}/stream", timeout=DEADLINE, verify=False) as response:
        assert (response.status_code, next(response.iter_text())[:5]) == (200, "part\n")
    try:
        wait_until(lambda: server.stdout.count(ENDED) > before, "the end of the stream")
    except TimeoutError as error:
        raise AssertionError(f"{error}\n{server.stdout}\n{server.stderr}") from None


def talk(server: ServerProcess) -> None:
    """Has one conversation over a WebSocket that is closed and one that is torn down."""
    for closes in (True, False):
        with connect(f"ws://{server.host}:{server.port}/ws", open_timeout=DEADLINE) as client:
            client.send("hello")
            assert client.recv(DEADLINE) == "echo hello"
            if not closes:
                client.socket.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=str)
def test_site_in_a_wrapper(wrapper: Wrapper, tmp_path: Path) -> None:
    need(wrapper.package)
    with serving(wrapper.app, tmp_path, *wrapper.options) as server, new_client(server.url) as client:
        assert client.get("/hello", params={"name": "Jürgen"}).json() == {"hello": "Jürgen"}
        uploaded = client.post("/upload", files={"file": ("a.bin", DATA)})
        assert uploaded.json() == {"digest": hashlib.sha256(DATA).hexdigest()}
        if "static" not in wrapper.lacks:
            assert client.get("/static/style.css").content == STYLE.read_bytes()
        assert client.get("/missing").status_code == 404
        if "background" not in wrapper.lacks:
            server.wait_for_line("the background task has run", "stdout")
        if "websocket" not in wrapper.lacks:
            talk(server)
        if "leaving" not in wrapper.lacks:
            leave_stream(server)
        assert_quiet(server)
        assert client.get("/boom").status_code == 500
        server.wait_for_line('"GET /boom HTTP/1.1" 500', "stdout")
        assert server.stderr.count("an error is reported") == (wrapper.package == "sentry_sdk")
        if "leaving" in wrapper.lacks:
            return
        with client.stream("GET", "/stream") as response:
            stream = response.iter_raw()
            next(stream)
            before = server.stdout.count(ENDED)
            assert server.stop() == 0
            assert server.stdout.count(ENDED) > before


def test_socketio(tmp_path: Path) -> None:
    need("socketio")
    with serving("socketio_site:app", tmp_path) as server, new_client(server.url) as client:
        polling = "/socket.io/?EIO=4&transport=polling"
        polling += "&sid=" + json.loads(client.get(polling).text[1:])["sid"]
        assert client.post(polling, content="40").text == "OK"
        assert client.get(polling).text.startswith('40{"sid":')
        client.post(polling, content='42["say","Grüße"]')
        assert json.loads(client.get(polling).text[2:]) == ["heard", "Grüße"]
        upgrade = f"ws://{server.host}:{server.port}{polling.replace('=polling', '=websocket')}"
        with connect(upgrade, open_timeout=DEADLINE) as socket_:
            socket_.send("2probe")
            assert socket_.recv(DEADLINE) == "3probe"
            socket_.send("5")
            socket_.send('42["say","on the WebSocket"]')
            while (message := socket_.recv(DEADLINE)) == "6":
                pass
            assert json.loads(message[2:]) == ["heard", "on the WebSocket"]
        server.wait_for_line("the socket has ended: transport close", "stdout")
        assert client.get("/static/style.css").content == STYLE.read_bytes()
        assert_quiet(server)


@pytest.mark.parametrize("package", ["strawberry", "ariadne"])
def test_graphql(package: str, tmp_path: Path) -> None:
    need(package)
    patient = ("--timeout-graceful-shutdown", "20")
    with serving(f"{package}_site:app", tmp_path, *patient) as server, new_client(server.url) as client:
        assert client.post("/", json={"query": '{hello(name: "you")}'}).json() == {"data": {"hello": "you"}}
        form = {
            "operations": '{"query": "mutation($f: Upload!) {upload(file: $f)}", "variables": {"f": null}}',
            "map": '{"0": ["variables.f"]}',
        }
        uploaded = client.post("/", data=form, files={"0": ("a.bin", DATA)})
        assert uploaded.json() == {"data": {"upload": hashlib.sha256(DATA).hexdigest()}}
        assert client.post("/", content="no query").status_code == 400
        with subscribed(server) as stream:
            stream.socket.shutdown(socket.SHUT_RDWR)
        server.wait_for_line(ENDED, "stdout")
        with subscribed(server) as stream:
            assert server.stop() == 0
            with pytest.raises(ConnectionClosedError, match="1012"):
                stream.recv(DEADLINE)
        assert server.stdout.count(ENDED) == 2
        assert_quiet(server)


@contextmanager
def subscribed(server: ServerProcess) -> Iterator[ClientConnection]:
    """A subscription from which all has come that there is."""
    protocol = Subprotocol("graphql-transport-ws")
    with connect(f"ws://{server.host}:{server.port}/", subprotocols=[protocol], open_timeout=DEADLINE) as stream:
        assert stream.subprotocol == protocol
        stream.send('{"type": "connection_init"}')
        assert json.loads(stream.recv(DEADLINE))["type"] == "connection_ack"
        stream.send('{"id": "1", "type": "subscribe", "payload": {"query": "subscription {count}"}}')
        payloads = [json.loads(stream.recv(DEADLINE))["payload"] for _ in range(3)]
        assert [payload["data"] for payload in payloads] == [{"count": number} for number in range(3)]
        yield stream


def test_mcp(tmp_path: Path) -> None:
    need("mcp")
    about = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    beginning = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about}
    with serving("mcp_site:app", tmp_path) as server, new_client(server.url) as client:
        begun = client.post("/mcp", json=beginning, headers=RPC_FIELDS)
        fields = {**RPC_FIELDS, "mcp-session-id": begun.headers["mcp-session-id"]}
        initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert client.post("/mcp", json=initialized, headers=fields).status_code == 202
        parameters = {"name": "add", "arguments": {"a": 1, "b": 2}}
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": parameters}
        assert '"text":"3"' in client.post("/mcp", json=call, headers=fields).text
        # The client's own stream has no event yet: the answer's head is all there is of it.
        with client.stream("GET", "/mcp", headers=fields) as listening:
            assert listening.status_code == 200
        with client.stream("GET", "/sse") as events:
            lines = events.iter_lines()
            assert next(lines) == "event: endpoint"
            path = next(lines).removeprefix("data: ")
            with new_client(server.url) as other:
                assert other.post(path, json=beginning).status_code == 202
            wait_until(lambda: next(lines) == "event: message", "the answer as an event")
        assert client.delete("/mcp", headers=fields).status_code == 200
        assert "Traceback" not in server.stderr
        assert "ERROR" not in server.stderr
