"""nginx and HAProxy with the files for them, in front of a real server."""

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from support.deployment import DEPLOYMENT, wait_for_status
from support.embedded_server import EmbeddedServer, Serve
from support.events_app import EventsApp
from support.nginx import running_nginx
from support.programs import needs_program, running_program
from support.raw_client import RawClient, request
from support.server_process import ServerProcess
from support.version_app import digest, download
from support.waiting import DEADLINE, wait_until
from support.workers import chunk
from websockets.sync.client import connect

from loadtests.servers.ports import free_port
from threadserve import Config

UPLOAD = bytes(range(256)) * 4000
NGINX_FILE = (DEPLOYMENT / "nginx" / "threadserve.conf").read_text()
HAPROXY_FILE = (DEPLOYMENT / "haproxy" / "haproxy.cfg").read_text()
CHECKS = "check port 9000 inter 2s"

Proxy = Callable[[str], str]
"""Starts a proxy before the server at an address, HOST:PORT or unix:PATH; returns the proxy's own HOST:PORT."""


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """A text with each of these parts, which are there once, in place of another."""
    for part, by in changes:
        assert text.count(part) == 1, part
        text = text.replace(part, by)
    return text


def haproxy_file(fd: int, address: str, checks: str) -> str:
    """HAProxy's configuration with one server, listening on this descriptor."""
    return replaced(
        HAPROXY_FILE,
        ("    user haproxy\n    group haproxy\n", ""),
        ("maxconn 20000", "maxconn 1000"),
        ("bind :80\n", f"bind fd@{fd}\n"),
        (CHECKS, checks),
        ("server app1 10.0.0.11:8000\n", f"server app1 {address.replace('unix:', 'unix@')}\n"),
        ("    server app2 10.0.0.12:8000\n", ""),
    )


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends in the end what a test has started."""
    with ExitStack() as entered:
        yield entered


def start_nginx(stack: ExitStack, folder: Path, address: str) -> str:
    """Starts nginx; returns its address."""
    front = f"127.0.0.1:{free_port()}"
    changes = [("listen 80;", f"listen {front};"), ("server unix:/run/threadserve.sock;", f"server {address};")]
    stack.enter_context(running_nginx(folder, replaced(NGINX_FILE, *changes), lambda: is_open(front)))
    return front


def is_open(address: str) -> bool:
    """Whether somebody listens on HOST:PORT."""
    host, port = address.split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


def start_haproxy(stack: ExitStack, folder: Path, address: str, checks: str = "") -> str:
    """Starts HAProxy, which takes the server for well unless it is to check it; returns its address."""
    front = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
    configuration = folder / "haproxy.cfg"
    configuration.write_text(haproxy_file(front.fileno(), address, checks))
    command: list[str | Path] = ["haproxy", "-db", "-f", configuration]
    stack.enter_context(running_program(command, folder / "haproxy.log", pass_fds=[front.fileno()]))
    return f"127.0.0.1:{front.getsockname()[1]}"


@pytest.fixture(
    params=[
        pytest.param("nginx", marks=needs_program("nginx")),
        pytest.param("haproxy", marks=needs_program("haproxy")),
    ]
)
def proxy(request: pytest.FixtureRequest, stack: ExitStack, tmp_path: Path) -> Proxy:
    """Starts nginx, or HAProxy."""
    start = {"nginx": start_nginx, "haproxy": start_haproxy}[request.param]
    return lambda address: start(stack, tmp_path, address)


@pytest.fixture(params=["tcp", "unix"])
def through(request: pytest.FixtureRequest, serve: Serve, proxy: Proxy, tmp_path: Path) -> str:
    """A proxy's address, with the server behind it on a TCP port, or on a Unix socket."""
    if request.param == "tcp":
        return proxy(address_of(serve(EventsApp())))
    path = f"{tmp_path}/app.sock"
    serve(EventsApp(), uds=path, forwarded_allow_ips="unix:")
    return proxy(f"unix:{path}")


def address_of(server: EmbeddedServer) -> str:
    """A server's HOST:PORT."""
    return f"{server.host}:{server.port}"


def client_of(address: str, host: str = "127.0.0.1") -> httpx.Client:
    """A client on an address of its own, with deadlines."""
    transport = httpx.HTTPTransport(local_address=host)
    return httpx.Client(base_url=f"http://{address}", timeout=DEADLINE, transport=transport)


def test_pages_and_uploads(through: str) -> None:
    with client_of(through) as client:
        assert client.get("/hello").text == "hello"
        assert client.post("/digest", content=UPLOAD).text == digest(UPLOAD)
        assert client.post("/digest", content=iter([UPLOAD[:9], UPLOAD[9:]])).text == digest(UPLOAD)
        assert client.get("/download?size=3000000").content == download(3_000_000)


def test_the_server_knows_who_asked_and_when(through: str) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Request-Start": "t=1.000"}
    with client_of(through, "127.0.0.2") as client:
        for _ in range(2):
            before = time.time()
            seen = client.get("/seen", headers=forged).json()
            after = time.time()
            assert (seen["client"][0], seen["scheme"]) == ("127.0.0.2", "http")
            assert seen["headers"]["host"] == through
            arrived = re.fullmatch(r"t=(\d+\.\d{3}(?:\d{3})?)", seen["headers"]["x-request-start"])
            assert arrived
            # A proxy's clock is read once for many events, and cut to the millisecond.
            assert before - 0.1 < float(arrived[1]) < after + 0.1


def test_events_arrive_one_by_one(through: str) -> None:
    with client_of(through) as client, client.stream("GET", "/events") as stream:
        lines = stream.iter_lines()
        assert [next(lines), next(lines)] == [": hello", ""]
        for number in range(3):
            client.post("/tell", content=f"event {number}").raise_for_status()
            assert [next(lines), next(lines)] == [f"data: event {number}", ""]
        client.post("/tell").raise_for_status()
        assert list(lines) == []


def test_an_upload_arrives_part_by_part(through: str) -> None:
    host, port = through.split(":")
    client = RawClient(host, int(port))
    try:
        client.send(request("POST", "/echo", "Transfer-Encoding: chunked"))
        for number in range(3):
            part = b"part %d." % number
            client.send(chunk(part))
            while part not in client.reader.buffer:
                assert client.reader.fill()
        client.send(chunk(b""))
        assert client.read_response().body == b"part 0.part 1.part 2."
    finally:
        client.close()


def test_websockets(through: str) -> None:
    with connect(f"ws://{through}/chat", max_size=None, open_timeout=DEADLINE, close_timeout=DEADLINE) as websocket:
        seen = json.loads(websocket.recv(DEADLINE))
        assert (seen["client"][0], seen["scheme"]) == ("127.0.0.1", "ws")
        messages: list[str | bytes] = ["hello", b"\x00\xff" * 100, "x" * 1_000_000]
        for message in messages:
            websocket.send(message)
            assert websocket.recv(DEADLINE) == message
    assert websocket.close_code == 1000


def test_connections_to_the_server_are_kept(serve: Serve, proxy: Proxy) -> None:
    # Who is not believed is the client itself, whose port tells one connection from another.
    address = proxy(address_of(serve(EventsApp(), proxy_headers=False)))
    with client_of(address) as client:
        clients = {str(client.get("/seen").json()["client"]) for _ in range(20)}
    assert len(clients) == 1


def test_nginx_gives_idle_connections_up_before_the_server_does() -> None:
    [upstream] = re.findall(r"upstream \w+ {(.+?)\n}", NGINX_FILE, re.DOTALL)
    [seconds] = re.findall(r"^\s*keepalive_timeout (\d+)s;", upstream, re.MULTILINE)
    assert float(seconds) < Config("main:app").timeout_keep_alive


@needs_program("haproxy")
def test_haproxy_sends_nothing_to_a_server_that_will_stop(stack: ExitStack, tmp_path: Path) -> None:
    port = free_port()
    options = ["--admin-bind", f"127.0.0.1:{port}", "--shutdown-delay", "3600"]
    log = tmp_path / "haproxy.log"
    with ServerProcess("examples.hello:app", *options) as server:
        wait_for_status(f"http://127.0.0.1:{port}/readyz", 200, server)
        front = start_haproxy(stack, tmp_path, f"127.0.0.1:{server.port}", f"check port {port} inter 100ms")
        url = f"http://{front}/"
        wait_for_status(url, 200, server)
        server.send_signal()
        wait_until(lambda: "threadserve/app1 is DOWN" in log.read_text(), "HAProxy to find the server unready")
        # It would still answer.
        assert httpx.get(server.url, timeout=DEADLINE).status_code == 200
        assert httpx.get(url, timeout=DEADLINE).status_code == 503


def test_haproxy_notices_within_the_delay_of_the_examples() -> None:
    [(interval, fall)] = re.findall(r"inter (\d+)s fall (\d+)", HAPROXY_FILE)
    unit = (DEPLOYMENT / "systemd" / "threadserve-plain.service").read_text()
    [delay] = re.findall(r"^ +--shutdown-delay (\d+)", unit, re.MULTILINE)
    assert float(delay) > float(interval) * float(fall)
