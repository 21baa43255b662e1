"""`--log-slow-requests`: which requests are told of, and what."""

import logging
import re
from collections.abc import Callable

import pytest
from support.admin import admin_of
from support.apps import Gate, body, hello, respond, start
from support.command_line import assert_one_line, invoke
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.http2_client import http2_clients
from support.raw_client import Connect, request
from support.waiting import wait_until
from support.websocket_client import CLOSE, close, opening, websocket_clients
from support.websocket_client import echo as echo_messages

from threadserve.metrics import loop_metrics
from threadserve.types import Receive, Scope, Send

LINE = re.compile(
    r'Slow request: "(?P<request>.*)" took (?P<seconds>\d+\.\d{3}) s, (?P<first>\d+\.\d{3}) s to the first byte: '
    r"(?P<status>\d+), thread (?P<thread>\d+)"
)
PAUSE = 0.2
Lines = Callable[[int], list[re.Match[str]]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """`lines(count)` waits until so many slow requests have been logged, and gives their lines."""

    def found() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.getMessage().startswith("Slow request")]

    def wait(count: int) -> list[re.Match[str]]:
        wait_until(lambda: len(found()) >= count, f"{count} lines, of {found()}")
        assert {record.levelno for record in caplog.records if "Slow request" in record.getMessage()} <= {
            logging.WARNING
        }
        matches = [match for line in found() if (match := LINE.fullmatch(line))]
        assert len(matches) == len(found()) == count
        return matches

    return wait


class Timed:
    """Answers late, or begins at once and ends late, when the test lets it."""

    def __init__(self) -> None:
        self.gate = Gate()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/late":
            await self.gate.wait()
            await respond(send, b"x", 503)
        elif scope["path"] == "/stream":
            await start(send)
            await body(send, b"x", more=True)
            await self.gate.wait()
            await body(send)
        else:
            await respond(send, b"x")


@pytest.mark.parametrize(("target", "status", "is_late"), [("/late?a=b", 503, True), ("/stream", 200, False)])
def test_a_slow_request(serve: Serve, connect: Connect, lines: Lines, target: str, status: int, is_late: bool) -> None:
    app = Timed()
    server = serve(app, threads=1, lifespan="off", log_slow_requests=PAUSE)
    client = connect(server)
    client.send(request("GET", target))
    app.gate.wait_for_arrivals()
    assert connect(server).is_silent(PAUSE)
    app.gate.open()
    assert client.read_response().status == status
    [line] = lines(1)
    assert (line["request"], line["status"], line["thread"]) == (f"GET {target} HTTP/1.1", str(status), "1")
    assert float(line["seconds"]) >= PAUSE
    assert (float(line["first"]) >= PAUSE) == is_late
    assert float(line["first"]) <= float(line["seconds"])


def test_quick_requests_are_not_told_of(serve: Serve, connect: Connect, lines: Lines) -> None:
    client = connect(serve(hello, threads=1, lifespan="off", log_slow_requests=60))
    for _ in range(20):
        client.get()
    assert lines(0) == []


def test_nothing_is_told_without_the_option(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, connect: Connect, lines: Lines
) -> None:
    monkeypatch.setattr(loop_metrics, "DEFAULT_SLOW_SECONDS", 0.0)
    server = serve(hello, threads=1, lifespan="off", admin_bind="127.0.0.1:0")
    connect(server).get("/late")
    # What is measured for others to look at is not logged for that.
    assert [slow["request"] for slow in admin_of(server).process()["slow"]] == ["GET /late"]
    assert lines(0) == []


def test_zero_tells_of_all(serve: Serve, connect: Connect, lines: Lines) -> None:
    client = connect(serve(hello, threads=1, lifespan="off", log_slow_requests=0))
    for number in range(5):
        client.get(f"/{number}")
    client.send(request("HEAD", "/head"))
    client.read_response("HEAD")
    targets = [line["request"] for line in lines(6)]
    assert targets == [*(f"GET /{number} HTTP/1.1" for number in range(5)), "HEAD /head HTTP/1.1"]


@pytest.mark.usefixtures("no_stalls")
def test_the_thread_is_told(serve: Serve, connect: Connect, lines: Lines) -> None:
    server = serve(hello, threads=2, lifespan="off", distribute="round-robin", log_slow_requests=0)
    for _ in range(2):
        connect(server).get()
    assert {line["thread"] for line in lines(2)} == {"1", "2"}


def test_a_request_whose_client_leaves(serve: Serve, connect: Connect, lines: Lines) -> None:
    arrived = Gate()
    arrived.open()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await arrived.wait()
        while (await receive())["type"] != "http.disconnect":
            pass

    client = connect(serve(app, threads=1, lifespan="off", log_slow_requests=0))
    client.send(request())
    arrived.wait_for_arrivals()
    client.reset()
    assert lines(1)[0]["status"] == "499"


def test_a_request_that_fails(serve: Serve, connect: Connect, lines: Lines, error_log: ErrorLog) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("wanted")

    assert connect(serve(app, threads=1, lifespan="off", log_slow_requests=0)).get().status == 500
    error_log.expect(ValueError)
    assert lines(1)[0]["status"] == "500"


def test_http2(serve: Serve, lines: Lines) -> None:
    server = serve(hello, threads=1, lifespan="off", http2=True, log_slow_requests=0)
    with http2_clients() as connect_h2:
        connect_h2(server).get("/a?b")
    assert lines(1)[0]["request"] == "GET /a?b HTTP/2"


def test_websockets_are_not_slow_requests(serve: Serve, lines: Lines) -> None:
    server = serve(echo_messages, threads=1, lifespan="off", log_slow_requests=0)
    with websocket_clients() as connect_websocket:
        client = connect_websocket(server)
        client.open()
        client.send(close(1000))
        assert client.read_frame().opcode == CLOSE
        client.reader.rest()
        server.stop()
    assert lines(0) == []


def test_websockets_that_are_refused_are_not_slow_requests(serve: Serve, lines: Lines) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"})

    server = serve(app, threads=1, lifespan="off", log_slow_requests=0)
    with websocket_clients() as connect_websocket:
        client = connect_websocket(server)
        client.send(opening())
        assert client.read_head().status == 403
        client.close()
        server.stop()
    assert lines(0) == []


def test_no_client_can_forge_a_line(serve: Serve, connect: Connect, lines: Lines) -> None:
    client = connect(serve(hello, threads=1, lifespan="off", log_slow_requests=0))
    client.get('/a"%0d%0aSlow')
    assert lines(1)[0]["request"] == 'GET /a"%0d%0aSlow HTTP/1.1'


@pytest.mark.parametrize("value", ["-1", "never", "nan"])
def test_a_bad_value_is_one_line(value: str) -> None:
    result = invoke("main:app", "--log-slow-requests", value)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: Invalid value for '--log-slow-requests': ")
    assert_one_line(result, result.stderr.removeprefix("Error: ").rstrip("\n"))
