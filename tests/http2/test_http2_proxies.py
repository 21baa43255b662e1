"""Proxies that speak HTTP/1.1 with their clients and HTTP/2 with the server: HAProxy, and nginx by `grpc_pass`."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.embedded_server import EmbeddedServer, Serve
from support.nginx import running_nginx
from support.programs import needs_program, run_program, running_program
from support.raw_client import RawClient, request
from support.version_app import app, digest, download
from support.waiting import DEADLINE
from support.workers import chunk
from websockets.sync.client import connect

UPLOAD = bytes(range(256)) * 4000
needs_haproxy = needs_program("haproxy")

HAPROXY = """
global
    maxconn 1000
    nbthread 1
defaults
    mode http
    log global
    option http-keep-alive
    option http-no-delay
    retries 0
    timeout connect 30s
    timeout client 30s
    timeout server 30s
    timeout tunnel 30s
    http-reuse always
frontend front
    bind fd@{fd}
    {forward}
    default_backend back
backend back
    server server {address} proto h2
"""
NGINX = """
client_max_body_size 10m;
upstream server {{
    server {address};
    keepalive 4;
}}
server {{
    listen unix:{front};
    location / {{
        grpc_set_header Host $http_host;
        grpc_set_header X-Forwarded-For 203.0.113.9;
        grpc_set_header X-Forwarded-Proto https;
        grpc_pass grpc://server;
    }}
}}
"""


class Front:
    """Where a proxy takes connections."""

    host = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def client(self, **options: Any) -> httpx.Client:
        """A client with deadlines."""
        return httpx.Client(base_url=self.url, timeout=DEADLINE, **options)


StartProxy = Callable[..., Front]


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[StartProxy]:
    """`haproxy(address, forward)` starts one in front of the server at this address."""
    with ExitStack() as stack:

        def start(address: str, forward: str = "") -> Front:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
            configuration = tmp_path / "haproxy.cfg"
            configuration.write_text(HAPROXY.format(fd=listener.fileno(), address=address, forward=forward))
            command: list[str | Path] = ["haproxy", "-db", "-f", configuration]
            stack.enter_context(running_program(command, tmp_path / "haproxy.log", pass_fds=[listener.fileno()]))
            return Front(listener.getsockname()[1])

        yield start


@pytest.fixture(params=["tcp", "unix"])
def front(
    request: pytest.FixtureRequest, serve: Serve, haproxy: StartProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Front:
    """HAProxy in front of a server on a TCP port, or on a Unix socket."""
    if request.param == "tcp":
        return haproxy(address_of(serve(app, threads=2, proxy_headers=False)))
    monkeypatch.chdir(tmp_path)
    serve(app, uds="app.sock", proxy_headers=False)
    return haproxy("unix@app.sock")


def address_of(server: EmbeddedServer) -> str:
    """A server's address, as proxies are told."""
    return f"{server.host}:{server.port}"


@needs_haproxy
def test_requests(front: Front) -> None:
    with front.client() as client:
        seen = client.get("/seen", headers={"Cookie": "a=1; b=2"}).json()
        assert seen["version"] == "2"
        assert seen["headers"]["cookie"] == "a=1; b=2"
        assert seen["headers"]["host"] == f"127.0.0.1:{front.port}"
        assert client.post("/digest", content=UPLOAD).text == digest(UPLOAD)
        assert client.post("/digest", content=iter([UPLOAD[:9], UPLOAD[9:]])).text == digest(UPLOAD)
        assert client.get("/download?size=3000000").content == download(3_000_000)
        head = client.head("/hello")
        assert (head.status_code, head.headers["content-length"]) == (200, "5")
        assert client.get("/hello", headers={"Connection": "close"}).text == "hello"


@needs_haproxy
def test_parts_go_both_ways_as_they_come(front: Front) -> None:
    client = RawClient(front.host, front.port)
    try:
        client.send(request("POST", "/echo", "Transfer-Encoding: chunked"))
        reader = client.reader
        for number in range(5):
            part = b"part %d." % number
            client.send(chunk(part))
            while part not in reader.buffer:
                assert reader.fill()
        client.send(chunk(b""))
        assert client.read_response().body == b"".join([b"part %d." % number for number in range(5)])
    finally:
        client.close()


@needs_haproxy
def test_forwarded_headers_are_believed(serve: Serve, haproxy: StartProxy) -> None:
    forward = "option forwardfor\n    http-request set-header X-Forwarded-Proto https"
    front = haproxy(address_of(serve(app)), forward)
    with front.client(transport=httpx.HTTPTransport(local_address="127.0.0.2")) as client:
        seen = client.get("/seen").json()
    assert seen["client"][0] == "127.0.0.2"
    assert seen["scheme"] == "https"


@needs_haproxy
def test_connections_are_used_again(front: Front) -> None:
    # HAProxy gives its window back behind each answer.
    def ask(first: int) -> set[str]:
        with front.client() as client:
            for number in range(first, first + 500):
                assert client.get(f"/number?n={number}").text == str(number)
            return {str(client.get("/seen").json()["client"])}

    with ThreadPoolExecutor(4) as executor:
        connections: set[str] = set().union(*executor.map(ask, range(0, 2000, 500)))
    assert len(connections) <= 4


@needs_haproxy
@needs_program("h2load")
def test_a_load(front: Front) -> None:
    told = run_program("h2load", "--h1", "-n", "3000", "-c", "20", f"{front.url}/number?n=1", deadline=DEADLINE)
    # It takes no answer for a success that has no reason phrase, as HTTP/2 has none; these are as long as is right.
    assert re.search(r"3000 total, 3000 started, 3000 done, .* 0 errored, 0 timeout\n", told), told
    assert "(3000) data" in told, told


@needs_haproxy
def test_websocket(front: Front) -> None:
    with front.client() as client:
        # What is a WebSocket of HTTP/2 may be asked for once the server has said so, on a connection that is there.
        assert client.get("/hello").text == "hello"
        with connect(
            f"ws://127.0.0.1:{front.port}/chat", max_size=None, open_timeout=DEADLINE, close_timeout=DEADLINE
        ) as websocket:
            seen = json.loads(websocket.recv(DEADLINE))
            assert (seen["version"], seen["scheme"]) == ("2", "ws")
            messages: list[str | bytes] = ["hello", b"\x00\xff" * 100, "x" * 1_000_000, UPLOAD]
            for message in messages:
                websocket.send(message)
                assert websocket.recv(DEADLINE) == message
            assert client.get("/hello").text == "hello"
        assert websocket.close_code == 1000


@needs_program("nginx")
def test_nginx(serve: Serve, tmp_path: Path) -> None:
    front = tmp_path / "front.sock"
    with running_nginx(tmp_path, NGINX.format(front=front, address=address_of(serve(app))), front.exists):
        transport = httpx.HTTPTransport(uds=str(front), retries=3)
        with httpx.Client(base_url="http://example.org", timeout=DEADLINE, transport=transport) as client:
            for _ in range(3):
                seen = client.get("/seen").json()
                assert seen["version"] == "2"
                assert (seen["client"][0], seen["scheme"]) == ("203.0.113.9", "https")
                assert seen["headers"]["host"] == "example.org"
                assert client.post("/digest", content=UPLOAD).text == digest(UPLOAD)
                assert client.get("/download?size=3000000").content == download(3_000_000)
