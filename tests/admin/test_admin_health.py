"""Whether a server is alive and ready, as the admin address says, whatever its loops do."""

import asyncio
import logging
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.admin import ADMIN_LINE, Admin, admin_at_path, admin_of, admin_of_process
from support.apps import hello
from support.blocking_app import Blocking
from support.command_line import run_module
from support.embedded_server import EmbeddedServer, Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, RawClient, clients, request
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until
from support.wsgi_apps import Held

from threadserve import Config, Server
from threadserve.admin import server as admin_server
from threadserve.errors import BindError, ConfigError
from threadserve.listening.listeners import bind_addresses
from threadserve.listening.tcp import Listeners
from threadserve.types import Receive, Scope, Send

ALIVE, READY = (200, "alive"), (200, "ready")
LIVEZ, READYZ = "/livez", "/readyz"
EVERY_LOOP = "every loop thread is blocked"
# In seconds: for an answer that waits for no loop, on a machine that is busy.
SOON = 5.0
STALL = {"timeout_loop_stall": 0.3}
STEERED = ("support.steered_app:app", "--app-dir", str(Path(__file__).parents[1]), "--threads", "1")
ADMIN = ("--admin-bind", "127.0.0.1:0")
PATHS = [LIVEZ, READYZ, "/metrics", "/status", "/status.json"]


def test_a_server_that_serves_is_alive_and_ready(serve: Serve, connect: Connect) -> None:
    server = serve(hello)
    admin = admin_of(server)
    assert (admin.health(LIVEZ), admin.health(READYZ)) == (ALIVE, READY)
    assert admin.ask(READYZ).header("content-type") == b"text/plain; charset=utf-8"
    assert admin.ask(READYZ).header("cache-control") == b"no-store"
    # Its paths are its own, and not the application's.
    assert connect(server).get(LIVEZ).body == b"/livez"


class LongStart:
    """An application whose start-up waits until the test lets it end."""

    def __init__(self) -> None:
        self.released = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await hello(scope, receive, send)
            return
        await receive()
        await asyncio.to_thread(self.released.wait, DEADLINE)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


@pytest.mark.parametrize("threads", [1, 2])
def test_a_server_is_not_ready_while_it_starts(error_log: ErrorLog, threads: int) -> None:
    app = LongStart()
    server = EmbeddedServer(app, threads=threads, admin_bind="127.0.0.1:0", **STALL)
    server.threads_before = {*threading.enumerate(), server.thread}
    server.thread.start()
    try:
        admin = admin_of(server)
        assert admin.health(READYZ) == (503, "the server is starting")
        assert admin.health(LIVEZ) == ALIVE
        assert admin.status()["phase"] == "starting"
        assert admin.metrics().value("threadserve_ready") == 0
        app.released.set()
        wait_until(lambda: server.server.started, "the server to start")
        assert admin.health(READYZ) == READY
        assert admin.metrics().value("threadserve_ready") == 1
    finally:
        app.released.set()
        server.stop()


def test_a_stop_is_told_before_it_begins() -> None:
    with ServerProcess(*STEERED, *ADMIN, "--shutdown-delay", "3") as server, clients() as connect:
        admin = admin_of_process(server)
        began = time.monotonic()
        server.send_signal()
        admin.wait_for_health(READYZ, 503, "the server is draining")
        assert admin.health(LIVEZ) == ALIVE
        # New connections are served on.
        assert connect(server).get("/").body == b"hello"
        server.wait_for_line("Shutting down in 3 seconds")
        assert server.wait() == 0
        assert time.monotonic() - began >= 3
        assert server.stdout.endswith("down\n")
        assert "Traceback" not in server.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "sigint"])
def test_a_second_signal_ends_the_delay(number: int) -> None:
    with ServerProcess(*STEERED, *ADMIN, "--shutdown-delay", "600") as server:
        server.send_signal(number)
        server.wait_for_line("Shutting down in 600 seconds")
        server.send_signal(number)
        server.wait()
        assert "Traceback" not in server.stderr


def test_a_limit_does_not_end_the_delay() -> None:
    with ServerProcess(*STEERED, *ADMIN, "--shutdown-delay", "600", "--limit-max-requests", "2") as server:
        server.send_signal(signal.SIGTERM)
        server.wait_for_line("Shutting down in 600 seconds")
        for _ in range(4):
            client = RawClient(server.host, server.port)
            assert client.get().status == 200
            client.close()
        server.wait_for_line("Maximum request limit")
        assert admin_of_process(server).ask(READYZ).status == 503
        server.send_signal(signal.SIGTERM)
        server.wait()


def test_a_request_in_flight_is_answered_after_the_delay() -> None:
    with ServerProcess(*STEERED, *ADMIN, "--shutdown-delay", "0.2") as server, clients() as connect:
        admin = admin_of_process(server)
        client = connect(server)
        client.send(request("POST", "/upload", "Content-Length: 2", body=b"a"))
        server.wait_for_line("reading", "stdout")
        server.send_signal()
        admin.wait_for_health(READYZ, 503, "the server is stopping")
        client.send(b"b")
        assert client.read_response().body == b"ab"
        assert server.wait() == 0


@pytest.mark.usefixtures("no_stalls")
@pytest.mark.parametrize("target", ["/sleep", "/compute"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_server_whose_loops_are_all_blocked_is_not_alive(serve: Serve, threads: int, target: str) -> None:
    app = Blocking()
    server = serve(app, threads=threads, distribute="round-robin", **STALL)
    admin = admin_of(server)
    assert admin.health(LIVEZ) == ALIVE
    with app.held(server, target, threads):
        admin.wait_for_health(LIVEZ, 503, EVERY_LOOP)
        for path in PATHS:
            began = time.monotonic()
            assert admin.ask(path).status == (503 if path in (LIVEZ, READYZ) else 200)
            assert time.monotonic() - began < SOON
        assert admin.health(READYZ) == (503, EVERY_LOOP)
        assert not app.released.is_set()
    admin.wait_for_health(LIVEZ, *ALIVE)
    admin.wait_for_health(READYZ, *READY)


@pytest.mark.usefixtures("no_stalls")
def test_a_server_with_a_loop_that_turns_is_ready(serve: Serve, connect: Connect) -> None:
    app = Blocking()
    server = serve(app, threads=2, distribute="round-robin", **STALL)
    admin = admin_of(server)
    with app.held(server, "/sleep"):
        admin.wait_for(1, "threadserve_loop_stalled")
        assert (admin.health(LIVEZ), admin.health(READYZ)) == (ALIVE, READY)
        assert connect(server).get("/").body == b"/"


def test_a_blocked_loop_is_none_where_nothing_is_watched(serve: Serve) -> None:
    app = Blocking()
    server = serve(app, timeout_loop_stall=0)
    admin = admin_of(server)
    with app.held(server, "/sleep"):
        wait_until(lambda: calls_longer_than(admin, 1.0), "the call to have blocked for long")
        assert (admin.health(LIVEZ), admin.health(READYZ)) == (ALIVE, READY)


def calls_longer_than(admin: Admin, seconds: float) -> bool:
    """Whether a call on the first loop has gone on for so long."""
    return any(call["seconds"] > seconds for call in admin.process()["loops"][0]["calls"])


def test_a_full_pool_of_threads_is_ready(serve: Serve, connect: Connect) -> None:
    app = Held()
    server = serve(app, interface="wsgi", wsgi_threads=1, wsgi_queue=1, timeout_request=None)
    admin = admin_of(server)
    working, waiting, refused = connect(server), connect(server), connect(server)
    try:
        working.send(request("GET", "/held"))
        app.wait_for(1)
        waiting.send(request("GET", "/waits"))
        admin.wait_for(1, "threadserve_wsgi_queue")
        assert refused.get("/refused").status == 503
        assert (admin.health(LIVEZ), admin.health(READYZ)) == (ALIVE, READY)
        admin.wait_for(1, "threadserve_wsgi_refused_total")
    finally:
        app.release.set()
    assert [client.read_response().status for client in (working, waiting)] == [200, 200]


@pytest.mark.parametrize("path", PATHS)
def test_head_has_the_fields_of_get(serve: Serve, path: str) -> None:
    admin = admin_of(serve(hello))
    got, head = admin.ask(path), admin.ask(path, "HEAD")
    assert (got.status, head.status) == (200, 200)
    assert got.body
    assert head.body == b""
    assert head.header("content-type") == got.header("content-type")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", PATHS)
def test_nothing_can_be_changed(serve: Serve, path: str, method: str) -> None:
    response = admin_of(serve(hello)).ask(path, method)
    assert (response.status, response.header("allow")) == (405, b"GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/livez/", "/metricsx", "/status.json/..", "//livez", "/etc/passwd"])
def test_what_is_not_there(serve: Serve, path: str) -> None:
    response = admin_of(serve(hello)).ask(path)
    assert response.status == 404
    assert b"/livez" in response.body


def test_a_query_is_no_part_of_the_path(serve: Serve) -> None:
    assert admin_of(serve(hello)).health("/readyz?verbose") == READY


def test_the_page_asks_nobody_else(serve: Serve) -> None:
    response = admin_of(serve(hello)).ask("/status")
    policy = (response.header("content-security-policy") or b"").decode()
    assert policy.startswith("default-src 'none'; connect-src 'self'")
    assert "unsafe" not in policy
    assert not re.search(rb"(?:src|href)=.?(?:https?:)?//", response.body)


def test_slow_clients_hold_up_nobody(serve: Serve, connect: Connect) -> None:
    server = serve(hello)
    admin = admin_of(server)
    with ExitStack() as stack:
        for sent in [b"", b"GET /metrics HT"] * 20:
            connection = stack.enter_context(admin.connect())
            connection.sendall(sent)
        # Asks for much, and takes none of it.
        greedy = stack.enter_context(admin.connect())
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.sendall(request("GET", "/metrics") * 200)
        assert admin.health(READYZ) == READY
        assert connect(server).get("/").body == b"/"
        assert admin.metrics().value("threadserve_connections") == 1
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < SOON


def test_several_requests_on_a_connection(serve: Serve) -> None:
    admin = admin_of(serve(hello))
    with admin.connect() as connection:
        connection.sendall(request("GET", LIVEZ) + request("GET", READYZ))
        received = b""
        while received.count(b"HTTP/1.1 200") < 2 or not received.endswith(b"ready\n"):
            received += connection.recv(65536)
    assert b"alive\n" in received


def test_a_unix_socket(tmp_path: Path, error_log: ErrorLog) -> None:
    path = tmp_path / "admin.sock"
    server = EmbeddedServer(hello, threads=1, admin_bind=f"unix:{path}", uds_permissions="600")
    server.start()
    try:
        assert admin_at_path(str(path)).health(READYZ) == READY
        assert path.stat().st_mode & 0o777 == 0o600
    finally:
        server.stop()
    assert not path.exists()


def has_ipv6() -> bool:
    """Whether this machine has a loopback of IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "threadserve.error"):
        server = serve(hello, admin_bind="[::1]:0")
    assert admin_of(server).health(READYZ) == READY
    assert re.search(ADMIN_LINE, caplog.text)
    assert "not on loopback" not in caplog.text


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_an_address_in_use_is_one_line(taken: int) -> None:
    done = run_module("support.steered_app:app", *STEERED[1:], "--port", "0", "--admin-bind", f"127.0.0.1:{taken}")
    assert done.returncode == 3
    assert done.stderr == f"Error: cannot bind to 127.0.0.1:{taken}: address already in use\n"
    assert done.stdout == ""


def test_an_address_that_another_gets_first_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as rival:
        # Two may be bound to one port until one of them listens.
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("127.0.0.1", 0))
        port = rival.getsockname()[1]

        def bind_too_late(*arguments: Any) -> Listeners:
            listeners = bind_addresses(*arguments)
            rival.listen()
            return listeners

        monkeypatch.setattr(admin_server, "bind_addresses", bind_too_late)
        config = Config(hello, port=0, admin_bind=f"127.0.0.1:{port}", log_config=None, threads=1)
        with pytest.raises(BindError, match=f"^cannot bind to 127.0.0.1:{port}: address already in use$"):
            Server(config).run()


def test_nothing_stays_open_of_a_server_without_its_admin_address(taken: int, recwarn: pytest.WarningsRecorder) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(Config(hello, port=port, admin_bind=f"127.0.0.1:{taken}", log_config=None, threads=1))
    with pytest.raises(BindError):
        server.run()
    with socket.socket() as again:
        again.bind(("127.0.0.1", port))
        again.listen()
    assert [each for each in recwarn if each.category is ResourceWarning] == []


@pytest.mark.parametrize(
    "address", ["", "8001", ":8001", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "fd://3", "unix:", "http://a:80"]
)
def test_a_bad_address_is_one_line_that_names_the_option(address: str) -> None:
    done = run_module("nothing:app", "--port", "0", "--admin-bind", address)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Invalid value for '--admin-bind': ")
    assert repr(address) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_bad_address_in_a_program() -> None:
    with pytest.raises(ConfigError, match="admin_bind"):
        Server(Config(hello, admin_bind="somewhere", log_config=None)).run()


@pytest.mark.parametrize(("host", "is_exposed"), [("0.0.0.0", True), ("127.0.0.1", False), ("localhost", False)])
def test_a_warning_where_others_can_ask(
    serve: Serve, caplog: pytest.LogCaptureFixture, host: str, is_exposed: bool
) -> None:
    with caplog.at_level(logging.INFO, "threadserve.error"):
        serve(hello, admin_bind=f"{host}:0")
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    text = f"--admin-bind {host} is not on loopback: whoever reaches it sees what this server does."
    assert warned == ([text] if is_exposed else [])


def test_nothing_is_there_without_the_option(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "threadserve.error"):
        server = serve(hello, admin_bind=None)
    serving = server.server._server_run
    assert serving is not None
    assert serving._admin is None
    assert "threadserve-admin" not in {thread.name for thread in threading.enumerate()}
    assert "Health" not in caplog.text


def test_a_server_in_a_loop_of_the_programs(error_log: ErrorLog) -> None:
    async def program() -> None:
        config = Config(hello, port=0, threads=1, admin_bind="127.0.0.1:0", log_config=None, lifespan="off")
        server = Server(config)
        await server.startup()
        assert server._server_run is not None
        port = server._server_run.admin_listeners[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("GET", READYZ, "Connection: close"))
        assert (await reader.read()).endswith(b"ready\n")
        writer.close()
        server.should_exit = True
        await server.main_loop()
        await server.shutdown()

    asyncio.run(asyncio.wait_for(program(), DEADLINE))
    assert "threadserve-admin" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_loop_that_died_and_was_replaced(serve: Serve, connect: Connect, error_log: ErrorLog, threads: int) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def die() -> None:
            raise SystemExit("killed by a test")

        if scope["path"] == "/die":
            tasks.append(asyncio.create_task(die()))
            tasks[-1].add_done_callback(asyncio.Task.exception)
            await asyncio.Event().wait()
        await hello(scope, receive, send)

    server = serve(app, threads=threads)
    admin = admin_of(server)
    connect(server).send(request("GET", "/die"))
    error_log.expect(SystemExit, "died")
    admin.wait_for(1, "threadserve_threads_replaced_total")
    admin.wait_for_health(READYZ, *READY)
    assert admin.health(LIVEZ) == ALIVE
    error_log.claim_all()
