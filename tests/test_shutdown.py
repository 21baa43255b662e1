"""How a server process ends: by a signal, by a second one, and after its number of requests."""

import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from math import inf
from pathlib import Path
from typing import Any, cast

import pytest
from support.apps import hello
from support.bounds import give_bounds
from support.embedded_server import EmbeddedServer, servers
from support.load import Load
from support.processes import wait_for_sleep
from support.raw_client import Connect, RawClient, clients, request
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until

SIGNALS = [signal.SIGTERM, signal.SIGINT]
BOTH_SIGNALS = pytest.mark.parametrize("number", SIGNALS, ids=["sigterm", "sigint"])
TESTS = str(Path(__file__).parent)
OPEN_BODY = ("Transfer-Encoding: chunked",)

Start = Callable[..., ServerProcess]


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(*options, **environment)` starts a process that serves the steered application with two threads."""
    with ExitStack() as stack:

        def start_one(*options: str, wait: bool = True, **env: str) -> ServerProcess:
            server = ServerProcess("support.steered_app:app", "--threads", "2", "--app-dir", TESTS, *options, env=env)
            stack.callback(lambda: server.kill() if hasattr(server, "process") else None)
            server.start(wait=wait)
            return server

        yield start_one


@pytest.fixture
def connect(start: Start) -> Iterator[Connect]:
    """`connect(server)` opens a connection; it is closed before the server is killed."""
    with clients() as open_client:
        yield open_client


def begin_stopping(server: ServerProcess, number: int = signal.SIGTERM) -> None:
    """Sends a signal, and returns when the server has begun to stop."""
    server.send_signal(number)
    server.wait_for_line("Shutting down")


def refuses(server: ServerProcess) -> bool:
    """Whether the server takes no more connections."""
    try:
        RawClient(server.host, server.port).close()
    except ConnectionRefusedError:
        return True
    return False


def chunk(data: bytes) -> bytes:
    """One chunk of a body; an empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def begin_upload(client: RawClient, target: str) -> None:
    """Sends a request but for the end of its body."""
    client.send(request("POST", target, *OPEN_BODY) + chunk(b"begun "))


@BOTH_SIGNALS
def test_a_signal_stops_the_server_in_order(start: Start, number: int) -> None:
    server = start()
    assert server.stop(number) == 0
    log = [line.partition(":")[2].strip() for line in server.stderr.splitlines()]
    steps = [
        "Waiting for application startup.",
        "Application startup complete.",
        f"Started server process [{server.pid}]",
        f"threadserve running on {server.url} (Press CTRL+C to quit)",
        "Shutting down",
        "Waiting for application shutdown.",
        "Application shutdown complete.",
        f"Finished server process [{server.pid}]",
    ]
    assert [line for line in log if line in steps] == steps
    assert server.stdout.split() == ["up", "up", "down", "down"]


def test_a_connection_that_has_been_idle_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    give_bounds(monkeypatch, idle_grace_seconds=2 * DEADLINE)
    settings = {"threads": 1, "lifespan": "off", "timeout_keep_alive": 6 * DEADLINE}
    with servers(**settings) as serve, clients() as connect:
        server = serve(hello)
        idle = connect(server)
        assert idle.get().status == 200
        # As if it had not been used since long before that.
        only = connection_of(server)
        wait_until(lambda: only.deadline != inf, "the request to end")
        only.deadline -= 3 * DEADLINE
        used = connect(server)
        assert used.get().status == 200
        server.server.should_exit = True
        readable, _, _ = select.select([idle.socket, used.socket], [], [], DEADLINE)
        assert readable == [idle.socket]
        assert idle.is_closed()


def connection_of(server: EmbeddedServer) -> Any:
    """The one connection to a server with one thread."""
    assert server.server._server_run is not None
    [loop] = server.server._server_run._acceptor.loops
    [connection] = cast("Any", loop)._context.registry.connections
    return connection


@pytest.mark.parametrize("requests_before", [0, 1], ids=["new", "used"])
def test_a_request_that_is_on_its_way_is_answered(start: Start, connect: Connect, requests_before: int) -> None:
    server = start(STEERED_GRACE=str(DEADLINE))
    client = connect(server)
    for _ in range(requests_before):
        assert not client.get().says_close
    begin_stopping(server)
    # The loop of this connection hears of the signal a moment later than the log.
    while not (response := client.get()).says_close:
        assert response.body == b"hello"
    assert (response.status, response.body) == (200, b"hello")
    assert client.is_closed()
    assert server.wait() == 0


def test_a_client_that_says_nothing_does_not_hold_up_the_end(start: Start, connect: Connect) -> None:
    long = str(6 * DEADLINE)
    server = start("--timeout-request-header", long, "--timeout-keep-alive", long)
    new, used = connect(server), connect(server)
    assert used.get().status == 200
    server.send_signal()
    assert new.is_closed()
    assert used.is_closed()
    assert server.wait() == 0


@BOTH_SIGNALS
def test_a_request_in_flight_is_answered(start: Start, connect: Connect, number: int) -> None:
    server = start()
    client = connect(server)
    begin_upload(client, "/upload")
    server.wait_for_line("reading", "stdout")
    begin_stopping(server, number)
    wait_until(lambda: refuses(server), "new clients to be refused")
    client.send(chunk(b"ended") + chunk(b""))
    response = client.read_response("POST")
    assert (response.status, response.body, response.says_close) == (200, b"begun ended", True)
    assert client.is_closed()
    assert server.wait() == 0
    assert server.stdout.split().count("down") == 2


def test_a_stream_goes_on_to_its_end(start: Start, connect: Connect) -> None:
    server = start()
    client = connect(server)
    begin_upload(client, "/stream")
    while b"begun " not in client.reader.buffer:
        assert client.reader.fill()
    begin_stopping(server)
    for word in (b"after", b"the", b"signal"):
        client.send(chunk(word))
        while word not in client.reader.buffer:
            assert client.reader.fill()
    client.send(chunk(b""))
    response = client.read_response("POST")
    assert (response.status, response.body) == (200, b"begun afterthesignal")
    assert client.is_closed()
    assert server.wait() == 0
    assert "disconnected" not in server.stdout
    assert "Cut off" not in server.stderr


def test_what_is_left_after_the_timeout_is_cut_off(start: Start, connect: Connect) -> None:
    server = start("--timeout-graceful-shutdown", "0.3")
    heeding, stuck = connect(server), connect(server)
    begin_upload(heeding, "/stream")
    while not heeding.reader.buffer:
        assert heeding.reader.fill()
    stuck.send(request("GET", "/stuck"))
    server.wait_for_line("stuck", "stdout")
    assert server.stop() == 0
    said = server.stdout.split()
    assert said.index("told") < said.index("cancelled")
    assert "disconnected" in said
    assert said.count("down") == 2
    assert sum(map(int, re.findall(r"Cut off (\d+) requests? still running after 0.3 seconds", server.stderr))) == 2
    assert re.search(r"Cut off .+: .*POST /stream \(\d+ s\)", server.stderr)
    assert re.search(r"Cut off .+: .*GET /stuck \(\d+ s\)", server.stderr)
    assert "Traceback" not in server.stderr
    # What the clients got: the head of a response, and nothing.
    assert sorted(re.findall(r'"(POST /stream|GET /stuck) HTTP/1.1" (\d+)', server.stdout)) == [
        ("GET /stuck", "499"),
        ("POST /stream", "200"),
    ]


def test_what_is_waited_for_is_told_in_the_meantime(start: Start, connect: Connect) -> None:
    server = start()
    stuck = connect(server)
    stuck.send(request("GET", "/stuck"))
    server.wait_for_line("stuck", "stdout")
    server.send_signal()
    server.wait_for_line(r"INFO:     Waiting for 1 request to complete\. \(CTRL\+C to force quit\)$")
    assert server.stop() == 128 + signal.SIGTERM


@pytest.mark.parametrize("threads", ["1", "2"])
@BOTH_SIGNALS
def test_a_second_signal_ends_it_at_once_and_tells_what_it_cuts_off(
    start: Start, connect: Connect, number: int, threads: str
) -> None:
    server = start("--threads", threads)
    streaming = connect(server)
    begin_upload(streaming, "/stream")
    while not streaming.reader.buffer:
        assert streaming.reader.fill()
    connect(server).send(request("GET", "/stuck"))
    server.wait_for_line("stuck", "stdout")
    begin_stopping(server, number)
    assert server.stop(number) == 128 + number
    told = "\n".join(re.findall(r"ERROR: +Cut off \d requests? at once: (.*)", server.stderr))
    assert sorted(re.findall(r"[A-Z]+ /\w+(?= \(\d+ s\))", told)) == ["GET /stuck", "POST /stream"]
    assert sorted(re.findall(r'"(POST /stream|GET /stuck) HTTP/1.1" (\d+)', server.stdout)) == [
        ("GET /stuck", "499"),
        ("POST /stream", "200"),
    ]
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize("threads", ["1", "2"])
@BOTH_SIGNALS
def test_a_second_signal_ends_it_at_once_though_its_thread_is_blocked(
    start: Start, connect: Connect, number: int, threads: str
) -> None:
    server = start("--threads", threads)
    connect(server).send(request("GET", "/block"))
    server.wait_for_line("blocking", "stdout")
    begin_stopping(server, number)
    assert server.stop(number) == 128 + number
    server.wait_for_line(r"thread \d does not end: a request blocks it\. Exiting without it\. Cut off 1 request\.$")
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize("options", [(), ("--threads", "1"), ("--workers", "1")], ids=["two", "one", "worker"])
def test_a_signal_lets_the_start_up_end(start: Start, tmp_path: Path, options: tuple[str, ...]) -> None:
    started = tmp_path / "started"
    server = start(*options, wait=False, STEERED_STARTUP=str(started))
    server.wait_for_line("starting", "stdout")
    begin_stopping(server)
    server.wait_for_line(r"INFO: +Waiting for the application's start-up to end\. \(CTRL\+C to force quit\)$")
    started.touch()
    assert server.wait() == 0
    said = server.stdout.split()
    assert said.count("up") == said.count("down") >= 1
    assert "running on" not in server.stderr
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize("threads", ["1", "2"])
@BOTH_SIGNALS
def test_a_start_up_that_never_ends_is_cancelled(start: Start, number: int, threads: str) -> None:
    options = ("--threads", threads, "--timeout-graceful-shutdown", "0.3")
    server = start(*options, wait=False, STEERED_STARTUP="hang", STEERED_GRACE=str(DEADLINE))
    server.wait_for_line("starting", "stdout")
    assert server.stop(number) == 128 + number
    assert "start-up cancelled" in server.stdout
    server.wait_for_line("ERROR: +Cut off the application's start-up.$")
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("how", ["hang", "block"])
def test_a_second_signal_ends_the_start_up_at_once(start: Start, how: str, threads: str) -> None:
    server = start("--threads", threads, wait=False, STEERED_STARTUP=how)
    server.wait_for_line("starting", "stdout")
    begin_stopping(server, signal.SIGINT)
    assert server.stop(signal.SIGINT) == 128 + signal.SIGINT
    assert "Traceback" not in server.stderr


HANGING_SHUTDOWNS = {
    "hang": "Application shutdown did not end within 0.5 seconds. Exiting.",
    "block": "Loop thread 1 does not end: the application's shutdown blocks it. Exiting without it.",
    "leave": "Loop thread 1 does not end: threads or tasks of the application go on. Exiting without it.",
}


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("how", HANGING_SHUTDOWNS)
def test_a_shutdown_that_never_ends_is_given_up(start: Start, how: str, threads: str) -> None:
    options = ("--threads", threads, "--timeout-graceful-shutdown", "0.2")
    server = start(*options, STEERED_SHUTDOWN=how, STEERED_LIFESPAN_GRACE="0.5")
    assert server.stop() == 0
    assert server.stdout.count("shutting down") == int(threads)
    assert server.stdout.count("shutdown cancelled") == (int(threads) if how == "hang" else 0)
    log = [line.partition(":")[2].strip() for line in server.stderr.splitlines()]
    lines = [HANGING_SHUTDOWNS[how]] + [HANGING_SHUTDOWNS[how].replace("thread 1", "thread 2")] * (threads == "2")
    assert sorted(line for line in log if "does not end" in line or "did not end" in line) == lines
    assert log[-1] == f"Finished server process [{server.pid}]"
    assert "Traceback" not in server.stderr


def test_a_shutdown_has_what_is_left_of_the_grace(start: Start) -> None:
    server = start("--timeout-graceful-shutdown", "2", STEERED_SHUTDOWN="hang", STEERED_LIFESPAN_GRACE="0")
    assert server.stop() == 0
    seconds = float(server.wait_for_line(r"Application shutdown did not end within ([\d.]+) seconds")[1])
    assert 0 < seconds <= 2


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("how", ["hang", "block"])
def test_a_second_signal_ends_the_shutdown_at_once(start: Start, how: str, threads: str) -> None:
    server = start("--threads", threads, STEERED_SHUTDOWN=how)
    server.send_signal()
    server.wait_for_line("shutting down", "stdout")
    assert server.stop() == 128 + signal.SIGTERM
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize(("threads", "how"), [(2, "sleep"), (1, "sleep"), (1, "spin"), (1, "wait")])
def test_a_request_that_blocks_its_thread_is_given_up(start: Start, connect: Connect, threads: int, how: str) -> None:
    server = start("--threads", str(threads), "--timeout-graceful-shutdown", "0.2", STEERED_BLOCK=how)
    connect(server).send(request("GET", "/block"))
    server.wait_for_line("blocking", "stdout")
    if how != "spin":
        wait_for_sleep(server.pid)
    assert server.stop() == 0
    assert re.search(r"Loop thread \d does not end: a request blocks it\. Exiting without it\.", server.stderr)
    # The other one ends in order.
    assert server.stdout.split().count("down") == threads - 1


@pytest.mark.parametrize("distribute", ["least-busy", "kernel"])
@BOTH_SIGNALS
def test_nothing_is_lost_under_load(start: Start, distribute: str, number: int) -> None:
    server = start("--threads", "4", "--distribute", distribute, "--no-access-log")
    load = Load(server, keep_alive=8, fresh=2, expected=b"hello")
    load.start()
    load.wait_for_answers()
    assert server.stop(number) == 0
    load.join()
    assert "Traceback" not in server.stderr
    assert "Cut off" not in server.stderr


def test_a_blocked_thread_does_not_keep_a_server_that_has_reached_its_limit(start: Start, connect: Connect) -> None:
    server = start("--threads", "1", "--limit-max-requests", "1", "--timeout-graceful-shutdown", "0.2")
    connect(server).send(request("GET", "/block"))
    assert server.wait() == 0
    server.wait_for_line(r"Loop thread 1 does not end: a request blocks it\. Exiting without it\. Cut off 1 request\.$")


def test_the_last_of_the_allowed_requests_stops_the_server(start: Start) -> None:
    server = start("--limit-max-requests", "200", "--limit-max-requests-jitter", "100")
    load = Load(server, keep_alive=4, fresh=2, expected=b"hello")
    load.start()
    assert server.wait() == 0
    limit = int(server.wait_for_line(r"Maximum request limit of (\d+) exceeded")[1])
    assert 200 <= limit <= 300
    answered = load.join()
    assert answered >= limit
    assert len(re.findall(r'"GET / HTTP/1.1" 200', server.stdout)) == answered


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_request_that_came_while_the_process_was_held_up_is_answered(
    start: Start, connect: Connect, loop: str
) -> None:
    grace = 3
    server = start("--loop", loop, STEERED_GRACE=str(grace))
    client = connect(server)
    used = time.monotonic()
    assert client.get("/").status == 200
    begin_stopping(server)
    # Less than the time for which the connection is kept, so that the request comes in time; then the rest of it.
    time.sleep(0.4)
    server.send_signal(signal.SIGSTOP)
    client.send(request())
    time.sleep(max(0.0, used + grace + 1 - time.monotonic()))
    server.send_signal(signal.SIGCONT)
    assert client.read_response().status == 200
    assert server.wait() == 0
