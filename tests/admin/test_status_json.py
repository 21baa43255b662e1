"""What the status tells of each loop and thread: what it serves, where that stands, and what has gone wrong."""

import asyncio
import re
from functools import partial
from typing import Any

import pytest
from support.admin import Admin, admin_of
from support.apps import Gate, hello, respond
from support.blocking_app import Blocking
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, request
from support.waiting import wait_until
from support.websocket_client import websocket_clients
from support.wsgi_apps import Held

from threadserve import __version__
from threadserve.admin import process
from threadserve.types import Receive, Scope, Send

QUERY = "token=secret"


def calls_of(admin: Admin, number: int = 0) -> list[dict[str, Any]]:
    """The calls in flight on a loop."""
    calls: list[dict[str, Any]] = admin.process()["loops"][number]["calls"]
    return calls


def test_a_server_at_rest(serve: Serve) -> None:
    status = admin_of(serve(hello, threads=2)).status()
    assert (status["phase"], status["live"], status["ready"]) == ("serving", True, True)
    assert (status["version"], status["workers"], status["silent"]) == (__version__, 0, [])
    [only] = status["processes"]
    assert [loop["thread"] for loop in only["loops"]] == [1, 2]
    assert {loop["started"] for loop in only["loops"]} == {True}
    assert [loop["calls"] for loop in only["loops"]] == [[], []]
    assert only["wsgi"] is None
    assert (only["slow"], only["stalls"]) == ([], [])
    assert admin_of(serve(hello)).process()["problems"] == []


class Nested:
    """Waits in a coroutine that another one awaits."""

    def __init__(self) -> None:
        self.gate = Gate()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.handle()
        await respond(send, b"x")

    async def handle(self) -> None:
        """Not the innermost."""
        await self.load_user()

    async def load_user(self) -> None:
        """Where it stands."""
        await self.gate.wait()


def test_a_call_that_awaits(serve: Serve, connect: Connect) -> None:
    app = Nested()
    server = serve(app)
    admin, client = admin_of(server), connect(server)
    client.send(request("GET", f"/user?{QUERY}"))
    app.gate.wait_for_arrivals()
    wait_until(lambda: calls_of(admin)[0]["place"], "the place to be told")
    [call] = calls_of(admin)
    assert call["request"] == "GET /user"
    assert re.fullmatch(r'File ".*/support/apps.py", line \d+, in wait', call["place"])
    wait_until(lambda: calls_of(admin)[0]["seconds"] > call["seconds"], "time to go on")
    assert QUERY not in admin.ask("/status.json").body.decode()
    app.gate.open()
    assert client.read_response().status == 200
    wait_until(lambda: calls_of(admin) == [], "the call to be over")
    assert admin.process()["loops"][0]["requests"] == 1


def test_the_oldest_call_is_the_first(serve: Serve, connect: Connect) -> None:
    app = Blocking()
    server = serve(app)
    admin = admin_of(server)
    clients = []
    for number in range(1, 4):
        clients.append(connect(server))
        clients[-1].send(request("GET", f"/wait?{number}"))
        app.gate.wait_for_arrivals(number)
    calls = calls_of(admin)
    assert len(calls) == 3
    assert calls == sorted(calls, key=lambda call: -call["seconds"])
    app.gate.open()
    assert [client.read_response().status for client in clients] == [200] * 3


def test_a_websocket(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    with websocket_clients() as connect_websocket:
        server = serve(app)
        admin = admin_of(server)
        connect_websocket(server).open(f"/chat?{QUERY}")
        wait_until(lambda: calls_of(admin), "the call to be seen")
        [call] = calls_of(admin)
        assert call["request"] == "WebSocket /chat"
        assert f'File "{__file__}"' in call["place"]
        assert admin.process()["loops"][0]["websockets"] == 1


@pytest.mark.parametrize(("target", "place"), [("/sleep", "in wait"), ("/compute", "in compute")])
def test_a_call_that_blocks(serve: Serve, target: str, place: str) -> None:
    app = Blocking()
    server = serve(app, timeout_loop_stall=0.3)
    admin = admin_of(server)
    with app.held(server, f"{target}?{QUERY}"):
        wait_until(lambda: admin.process()["loops"][0]["stalled"], "the stall to be noticed")
        wait_until(lambda: admin.process()["stalls"], "the stall to be told")
        seen = admin.process()
        [loop] = seen["loops"]
        assert loop["stalled"] > 0.3
        assert place in loop["place"]
        assert [call["request"] for call in loop["calls"]] == [f"GET {target}"]
        [stall] = seen["stalls"]
        assert (stall["thread"], stall["seconds"]) == (1, None)
        assert place in stall["place"]
        assert admin.status()["live"] == admin.status()["ready"] == "every loop thread is blocked"
    wait_until(lambda: admin.process()["stalls"][0]["seconds"], "the end of the stall to be told")
    seen = admin.process()
    assert seen["stalls"][0]["seconds"] > 0.3
    assert (seen["loops"][0]["stalled"], seen["loops"][0]["place"], seen["loops"][0]["stalls"]) == (0, "", 1)
    assert [problem["level"] for problem in seen["problems"]] == ["WARNING"] * 2
    assert QUERY not in admin.ask("/status.json").body.decode()


@pytest.mark.usefixtures("no_stalls")
def test_a_blocked_loop_keeps_nothing_from_the_others(serve: Serve, connect: Connect) -> None:
    app = Blocking()
    server = serve(app, threads=2, distribute="round-robin", timeout_loop_stall=0.3)
    admin = admin_of(server)
    with app.held(server, "/sleep"):
        client = connect(server)
        client.send(request("GET", "/wait"))
        app.gate.wait_for_arrivals()

        def told() -> list[str]:
            return sorted(call["request"] for loop in admin.process()["loops"] for call in loop["calls"])

        wait_until(lambda: told() == ["GET /sleep", "GET /wait"], "both calls to be told")
        app.gate.open()
        assert client.read_response().status == 200


def test_slow_requests(monkeypatch: pytest.MonkeyPatch, serve: Serve, connect: Connect) -> None:
    app = Blocking()
    server = serve(app, log_slow_requests=0.1)
    admin, client = admin_of(server), connect(server)
    client.get("/")
    client.send(request("GET", f"/wait?{QUERY}"))
    app.gate.wait_for_arrivals()
    wait_until(lambda: calls_of(admin)[0]["seconds"] > 0.1, "the call to be slow")
    app.gate.open()
    assert client.read_response().status == 200
    wait_until(lambda: admin.process()["slow"], "the slow request to be told")
    [slow] = [each for each in admin.process()["slow"] if each["request"] != "GET /"]
    assert (slow["request"], slow["status"], slow["thread"]) == ("GET /wait", 200, 1)
    assert 0.1 <= slow["first_byte"] <= slow["seconds"]
    assert QUERY not in admin.ask("/status.json").body.decode()


def test_no_more_slow_requests_are_kept_than_are_looked_at(serve: Serve, connect: Connect) -> None:
    server = serve(hello, log_slow_requests=0)
    admin, client = admin_of(server), connect(server)
    for number in range(50):
        client.get(f"/{number}")
    wait_until(lambda: admin.process()["slow"][0]["request"] == "GET /49", "the last one to be told")
    assert [each["request"] for each in admin.process()["slow"]] == [f"GET /{number}" for number in range(49, 29, -1)]


def test_problems_have_neither_queries_nor_tracebacks(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/cut":
            await asyncio.Event().wait()
        raise ValueError(f"wanted at /where?{QUERY}")

    server = serve(app, timeout_graceful_shutdown=0.1)
    admin = admin_of(server)
    assert connect(server).get(f"/a?{QUERY}").status == 500
    error_log.expect(ValueError)
    broken = connect(server)
    broken.send(b"NONSENSE\r\n\r\n")
    assert broken.read_response().status == 400
    wait_until(lambda: len(admin.process()["problems"]) == 2, "the problems to be told")
    refused, failed = admin.process()["problems"]
    assert (failed["level"], failed["message"]) == ("ERROR", "Exception in ASGI application: ValueError")
    assert refused["level"] == "WARNING"
    assert "Refused an HTTP request from 127.0.0.1" in refused["message"]
    assert failed["at"] <= refused["at"]
    assert QUERY not in admin.ask("/status.json").body.decode()


def test_a_log_that_names_requests_has_no_queries(serve: Serve, connect: Connect) -> None:
    server = serve(hello, log_slow_requests=0)
    admin = admin_of(server)
    connect(server).get(f"/a?{QUERY}")
    wait_until(lambda: admin.process()["problems"], "the log to be told")
    [problem] = admin.process()["problems"]
    assert problem["message"].startswith('Slow request: "GET /a')
    assert QUERY not in admin.ask("/status.json").body.decode()


def problems_of(admin: Admin) -> object:
    """What the log has said."""
    return admin.process()["problems"]


def test_problems_are_kept_no_longer_than_the_server(serve: Serve, connect: Connect) -> None:
    for _ in range(2):
        server = serve(hello)
        admin = admin_of(server)
        assert admin.process()["problems"] == []
        client = connect(server)
        client.send(b"NONSENSE\r\n\r\n")
        assert client.read_response().status == 400
        wait_until(partial(problems_of, admin), "the problem to be told")
        server.stop()


def test_the_calls_of_a_pool(monkeypatch: pytest.MonkeyPatch, serve: Serve, connect: Connect) -> None:
    monkeypatch.setattr(process, "LONG_CALL_SECONDS", 0.0)
    app = Held()
    server = serve(app, interface="wsgi", wsgi_threads=2, timeout_request=None)
    admin, client = admin_of(server), connect(server)
    try:
        client.send(request("GET", f"/held?{QUERY}"))
        app.wait_for(1)
        wait_until(lambda: admin.process()["wsgi"]["calls"], "the call to be told")
        pool = admin.process()["wsgi"]
        assert (pool["busy"], pool["stuck"], pool["queue"]) == (1, 0, 0)
        [call] = pool["calls"]
        assert call["request"] == "GET /held"
        assert "in wait" in call["place"]
        assert QUERY not in admin.ask("/status.json").body.decode()
    finally:
        app.release.set()
    assert client.read_response().status == 200
